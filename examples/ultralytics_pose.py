"""Parts pasted in Ultralytics' pose training: a trainer that does it on the device, after mosaic and flips.

    python examples/ultralytics_pose.py pool.safetensors coco8-pose.yaml yolo11n-pose.pt

Boxes and keypoints stay what they are; parts are as large as the largest person of an image would have them.
"""

import sys

from ultralytics import YOLO
from ultralytics.models.yolo.pose import PoseTrainer

from asda_fast import SemanticPaste


class PastingTrainer(PoseTrainer):
    pool = "pool.safetensors"

    def preprocess_batch(self, batch):
        batch = super().preprocess_batch(batch)  # images are floats of 0..1 now
        if not hasattr(self, "paste"):
            self.paste = SemanticPaste(self.pool, parts=(1, 2))
        images = batch["img"]
        height, width = images.shape[2:]
        boxes = images.new_tensor([0, 0, width, height]).repeat(len(images), 1)  # of an image without people
        people = batch["bboxes"].to(images.device)
        for i in people.prod(1).nan_to_num().argsort():  # small to large: the largest stays
            x, y, w, h = (people[i] * people.new_tensor([width, height, width, height])).tolist()
            boxes[int(batch["batch_idx"][i])] = images.new_tensor([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
        batch["img"] = self.paste(images, boxes=boxes)
        return batch


if __name__ == "__main__":
    PastingTrainer.pool, data, model = sys.argv[1:4]
    YOLO(model).train(trainer=PastingTrainer, data=data, epochs=10)
