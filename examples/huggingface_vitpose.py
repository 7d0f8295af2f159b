"""Fine-tune Hugging Face's ViTPose with its Trainer and pasted parts; the data are those of plain_pytorch.py
(published weights want crops of 256 x 192, and VitPoseForPoseEstimation.from_pretrained)."""

import torch
from plain_pytorch import People, arguments, heatmaps
from transformers import Trainer, TrainingArguments, VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation

from asda_fast import SemanticPaste

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ViTPose


def collate(people):
    image, joints = (torch.stack(part) for part in zip(*people))
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))
    return {"pixel_values": (image / 255 - mean) / std, "keypoints": joints}


class PastingTrainer(Trainer):
    def __init__(self, *args, pool, **options):
        super().__init__(*args, data_collator=collate, **options)
        self.paste = SemanticPaste(pool, mean=MEAN, std=STD)

    def compute_loss(self, model, inputs, *_, **__):
        image = self.paste(inputs["pixel_values"]) if model.training else inputs["pixel_values"]
        found = model(pixel_values=image).heatmaps  # the keypoints stay what they are
        return torch.nn.functional.mse_loss(found, heatmaps(inputs["keypoints"]))


def model(**size):
    backbone = VitPoseBackboneConfig(image_size=[128, 96], patch_size=[16, 16], out_indices=[-1], **size)
    return VitPoseForPoseEstimation(VitPoseConfig(backbone_config=backbone, num_labels=17, use_simple_decoder=False))


if __name__ == "__main__":
    args = arguments(__doc__)
    options = TrainingArguments("vitpose", max_steps=args.steps, remove_unused_columns=False, report_to=[])
    PastingTrainer(model(), options, train_dataset=People(args.images, args.annotations), pool=args.pool).train()
