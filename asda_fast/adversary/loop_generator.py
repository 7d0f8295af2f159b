"""The paper's generator in somebody else's loop: it places, and climbs by the loop's own loss, through the paste."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from asda_fast.adversary.loop_scene import LoopScene
from asda_fast.adversary.ranks import rank_and_world
from asda_fast.augment.asda import generator_theta
from asda_fast.models.generator import Generator


class LoopGenerator:
    """A generator and its optimiser.

    types    part types of the pool
    network  [B, 3, H, W] -> [B, types, 3] of the loop's own; None: the paper's ResNet-18
    rate     Adam's learning rate
    """

    def __init__(self, types: int, network: nn.Module | None, rate: float, seed: int) -> None:
        self.types, self.own = types, network is not None
        with torch.random.fork_rng(devices=[]):  # the same weights on every rank, and no draw taken from the loop
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would reach every GPU's, too
            self.network = network or Generator(types).float()
        if not any(weight.requires_grad for weight in self.network.parameters()):
            raise ValueError("generator: expected a network with weights that learn, got none")
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=rate)
        # In float16 the gradients that reach a generator through network and paste are below its smallest number.
        self.scaler = torch.amp.GradScaler("cpu")

    def settle(self, device: torch.device) -> None:
        """Move to `device`; over several processes one's own starts there as the first process made it."""
        self.network.to(device)
        self.optimizer.load_state_dict(self.optimizer.state_dict())  # whose averages follow the weights
        before, self.scaler = self.scaler.state_dict(), torch.amp.GradScaler(device.type)
        self.scaler.load_state_dict(before)
        if self.own and rank_and_world()[1] > 1:
            for value in (*self.network.parameters(), *self.network.buffers()):
                dist.broadcast(value.data, 0)

    def paste(self, scene: LoopScene) -> Tensor:
        """The images with parts where the network puts them, with a graph back to its weights. ValueError where its
        answer is not [B, types, 3]."""
        with torch.enable_grad():
            with scene.autocast():
                placement = self.network(scene.normalised())
            wanted = [len(scene.original), self.types, 3]
            came = list(placement.shape) if isinstance(placement, Tensor) else type(placement).__name__
            if came != wanted:
                raise ValueError(f"generator: expected it to give {wanted}, got {came}")
            return scene.render(generator_theta(placement, scene.slots))

    def ascend(self, scene: LoopScene, pasted: Tensor) -> None:
        """One step uphill on the loop's loss of `pasted`, averaged over the ranks. ValueError where no gradient
        arrives."""
        half = scene.amp is torch.float16
        with torch.enable_grad():
            loss = -scene.table(scene.ask(pasted, hold=True), "losses").mean()
            loss = self.scaler.scale(loss) if half else loss
        weights = [w for w in self.network.parameters() if w.requires_grad]
        found = torch.autograd.grad(loss, weights, allow_unused=True) if loss.requires_grad else []
        if all(gradient is None for gradient in found):
            raise ValueError("losses: expected a gradient to the image for the generator, got none (detached?)")
        gradients = [torch.zeros_like(w) if gradient is None else gradient for w, gradient in zip(weights, found)]
        world = rank_and_world()[1]
        for gradient in gradients if world > 1 else ():
            dist.all_reduce(gradient)
            gradient /= world
        if half:  # leaves out a step that overflowed
            for weight, gradient in zip(weights, gradients):
                weight.grad = gradient
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:  # one step that is not finite would stay in Adam's averages for good
            sound = torch.stack(torch._foreach_norm(gradients)).sum().isfinite()
            for weight, gradient in zip(weights, gradients):
                weight.grad = torch.where(sound, gradient, 0.0)
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        learnt = {"generator": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}
        return {**learnt, "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """KeyError and RuntimeError where the state is of another network."""
        self.network.load_state_dict(state["generator"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state.get("scaler"):  # older states have none
            self.scaler.load_state_dict(state["scaler"])
