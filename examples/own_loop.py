"""The adversary in your own training loop: two calls, and whatever network and loss you have.

    python examples/own_loop.py --pool pool.safetensors --images PHOTOS --annotations COCO_KEYPOINTS.json

The data and the network are those of plain_pytorch.py.
"""

from __future__ import annotations

import torch
from plain_pytorch import People, arguments, heatmaps, network
from torch import Tensor
from torch.utils.data import DataLoader

from asda_fast import Adversary  # <- 1


def main() -> None:
    args = arguments(__doc__)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    loader = DataLoader(People(args.images, args.annotations), args.batch_size, shuffle=True, drop_last=True)
    model = network(joints=17).to(device)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    adversary = Adversary(args.pool, "critic", joints=17, verify=2)  # <- 2

    step = 0
    while step < args.steps:
        for image, joints in loader:
            image, joints = image.to(device).float() / 255, joints.to(device)
            target = heatmaps(joints)

            def losses(output: Tensor, target: Tensor = target) -> Tensor:
                return (output - target).square().mean((2, 3))  # [B, J]: of each person and joint

            pasted = adversary.paste(image, model, losses, keypoints=joints)  # <- 3
            loss = losses(model(pasted))
            optimizer.zero_grad()
            loss.mean().backward()
            optimizer.step()
            adversary.learn(loss)  # <- 4
            step += 1
            if step % 5 == 0 or step == args.steps:
                print(f"step {step}: loss {loss.mean().item():.5f}")
            if step == args.steps:
                break


if __name__ == "__main__":
    main()
