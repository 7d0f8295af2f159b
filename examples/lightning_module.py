"""The adversary in Lightning, kept with its checkpoints; data and network are those of plain_pytorch.py."""

import lightning as L
import torch
from plain_pytorch import People, arguments, heatmaps, network
from torch.utils.data import DataLoader

from asda_fast import Adversary


class Pose(L.LightningModule):
    def __init__(self, pool, way="critic"):
        super().__init__()
        self.network = network(joints=17)
        self.adversary = Adversary(pool, way, joints=17)

    def training_step(self, batch, _):
        image, joints = batch[0].float() / 255, batch[1]
        target = heatmaps(joints)
        losses = lambda output: (output - target).square().mean((2, 3))  # noqa: E731 - [B, J]: of each person and joint
        pasted = self.adversary.paste(image, self.network, losses, keypoints=joints)  # the joints stay what they are
        loss = losses(self.network(pasted))
        self.adversary.learn(loss.detach())
        return loss.mean()

    def configure_optimizers(self):
        return torch.optim.Adam(self.network.parameters(), 1e-3)

    def get_extra_state(self):  # so a checkpoint holds the adversary
        return self.adversary.state_dict()

    def set_extra_state(self, state):
        self.adversary.load_state_dict(state)


if __name__ == "__main__":
    args = arguments(__doc__)
    loader = DataLoader(People(args.images, args.annotations), args.batch_size, shuffle=True, drop_last=True)
    L.Trainer(max_steps=args.steps).fit(Pose(args.pool), loader)
