"""The critic's two small networks, and what they are shown."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from asda_fast.adversary.coverage import Coverage
from asda_fast.adversary.scene import Scene

WIDTH = 64
FEATURES = 16  # of one placement and joint, see `features`
CIRCUMSTANCES = 7  # of one person and joint, see critic.py


def features(scene: Scene, covered: Coverage, response: Tensor, losses: Tensor) -> Tensor:
    """[B, N, K, J, FEATURES] of every slot, placement and joint. response, losses [B, J]: of the clean crop, in units
    of the mean loss; zeros where D did not look at it."""
    like = covered.joint
    height, width = scene.size
    joints = scene.batch.joints
    labelled = (scene.weight > 0).to(like.dtype)[:, None, None]
    person = (covered.near * labelled).sum(-1, keepdim=True) / labelled.sum(-1, keepdim=True).clamp(min=1)
    each = torch.stack((joints[..., 0] / width - 0.5, joints[..., 1] / height - 0.5, response, losses), -1)
    columns = [
        covered.patch.clamp(-3, 3),
        covered.crop.clamp(-1.5, 1.5),
        covered.extent[..., None, :].expand(*like.shape, 2),
        torch.stack((like, covered.near, covered.far, covered.limbs), -1),
        person[..., None].expand(*like.shape, 1),  # how much of the person is hidden
        labelled[..., None].expand(*like.shape, 1),
        each.to(like.dtype)[:, None, None].expand(*like.shape, 4),
    ]
    return torch.cat(columns, -1)


class Rise(nn.Module):
    """By how much a part at a placement raises the loss of each joint, in units of the mean loss of a joint."""

    def __init__(self, types: int, joints: int) -> None:
        super().__init__()
        self.type_embedding = nn.Embedding(types, WIDTH)
        self.joint_embedding = nn.Embedding(joints, WIDTH)
        self.first = nn.Linear(FEATURES, WIDTH)
        self.second = nn.Linear(WIDTH, WIDTH)
        self.last = nn.Linear(WIDTH, 1)
        for embedding in (self.type_embedding, self.joint_embedding):
            nn.init.normal_(embedding.weight, std=0.1)  # so that what types and joints share is learnt first
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor, type_: Tensor) -> Tensor:
        """x [B, N, K, J, FEATURES], type_ [B, N] or [B, N, K] (-1: an empty slot) -> [B, N, K, J]."""
        type_ = type_.view(*type_.shape[:2], -1, 1)  # [B, N, 1 or K, 1]
        kind = self.type_embedding(type_.clamp(min=0))  # [B, N, 1 or K, 1, WIDTH]
        hidden = (self.first(x) + kind + self.joint_embedding.weight).relu()
        hidden = self.second(hidden).relu()
        return self.last(hidden)[..., 0] * (type_ >= 0)


class Baseline(nn.Module):
    """The loss of a joint whatever is pasted, in the same units: what the rise is measured from where D's own step is
    the only pass. It is told what the choice may not know, such as how the person's other joints fared in that pass."""

    def __init__(self, joints: int) -> None:
        super().__init__()
        self.joint_embedding = nn.Embedding(joints, WIDTH)
        self.first = nn.Linear(CIRCUMSTANCES, WIDTH)
        self.second = nn.Linear(WIDTH, WIDTH)
        self.last = nn.Linear(WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, J, CIRCUMSTANCES] -> [B, J]."""
        hidden = (self.first(x) + self.joint_embedding.weight).relu()
        return self.last(self.second(hidden).relu())[..., 0]
