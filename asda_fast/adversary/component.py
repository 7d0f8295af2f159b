"""Adversary: hard placements inside other people's training loops, round any network and any loss.

    adversary = asda_fast.Adversary("pool.safetensors", "critic", joints=17)
    for image, keypoints, target in loader:
        losses = lambda heatmaps: ((heatmaps - target) ** 2).mean((2, 3))        # of each person and joint
        pasted = adversary.paste(image, network, losses, keypoints=keypoints)
        loss = losses(network(pasted))
        loss.mean().backward()
        optimizer.step()
        adversary.learn(loss)

What the trainer's adversaries can is behind it; what a loop has not got is done without (`paste`). What takes more than
a loop can say stays the trainer's: `losses` is of a whole batch at its own size, so neither a share of it is judged
(--verify-share) nor a smaller image (--half-resolution), and instead of a clean pass there is `response`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from asda_fast.adversary.base import Choice, Placer
from asda_fast.adversary.critic import Critic
from asda_fast.adversary.loop_generator import LoopGenerator
from asda_fast.adversary.loop_options import LoopOptions, Way
from asda_fast.adversary.loop_points import GRID, around, grid, points_of
from asda_fast.adversary.loop_scene import LoopScene, Losses
from asda_fast.adversary.options import PAIRS, AdversaryOptions
from asda_fast.adversary.ranks import rank_and_world
from asda_fast.adversary.scene import Scene
from asda_fast.adversary.selection import Clean, Cover, Search, Selection
from asda_fast.augment.module import SemanticPaste, check_image
from asda_fast.core.batch import Batch
from asda_fast.core.hardware import find_device
from asda_fast.parts.pool import PartPool


class Adversary:
    """Where parts of other people are pasted, so that your network finds it hard (ASDA, section 3.3).

    pool        what to paste: a PartPool, or the path of a pool file
    way         random    at random (SDA)
                cover     hides most of the keypoints; nothing is learned, no forward pass
                search    the hardest of `verify` random places, by as many forward passes of the network
                critic    a small network that learns from the losses you hand to `learn` which places are hard
                generator the paper's ResNet-18, which learns by the gradient through the paste
    joints      keypoints of a person; 0: there are none, nine points of the person's box stand for them
    edges       pairs of joints with a limb between them (cover and critic look at the middles of limbs, too)
    people      rows of your dataset, whose losses the critic remembers if `paste` is told each person's `index`
    verify      proposals that the network judges by a forward pass, to take the hardest [search 4, else 1: none]
    candidates  cover, critic: random places that are scored for each part
    part_choices  search, cover, critic: so many parts are drawn for each slot, and the part is chosen with its place,
                never one that covers more than the first (adversary/part_choices.py)
    pairs       critic: every batch you give holds everybody twice, torch.cat((image, image)): the same part goes to two
                places, from whose difference the critic learns at no cost
    explore     critic: share of the proposals in training that are random, to learn from
    solvable    search, cover, critic with verify >= 2: take the proposal whose loss, less so much of the loss of a
                `teacher` given to `paste`, is largest: hard, yet solvable (TeachAugment has 1). As many passes again
    generator   a network [B, 3, H, W] -> [B, types, 3] of your own [models.Generator]
    rate        learning rate of the critic [3e-3] or the generator [1e-3]
    device      where your batches are [where the first one is]
    seed        every draw follows from it, the number of batches so far, and the process's rank
    The other options are SemanticPaste's: parts, p, ranges, types, patch_flip, jitter, mean, std, mode. mean and std
    say how float images were normalised, in units of 0..1; uint8 images are not.

    `state_dict` is all that an exact resume needs. Over several processes each calls `paste` and `learn` as often, with
    batches of one size, and all learn the same. Runs under autocast (its geometry does not) and torch.compile as the
    network does. For gradient accumulation call both for every part of the batch.
    """

    def __init__(
        self,
        pool: PartPool | str,
        way: Way = "critic",
        *,
        joints: int = 0,
        edges: Iterable[Sequence[int]] = (),
        people: int = 0,
        verify: int | None = None,
        candidates: int = AdversaryOptions.candidates,
        part_choices: int = 1,
        pairs: bool = False,
        explore: float = AdversaryOptions.explore,
        solvable: float = 0.0,
        generator: nn.Module | None = None,
        rate: float | None = None,
        device: torch.device | str | None = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        given = LoopOptions(
            way, joints, edges, people, verify, candidates, part_choices, pairs, explore, solvable, rate, seed
        )
        if generator is not None and way != "generator":
            raise ValueError(f"generator: expected way generator beside it, got {way}")
        if generator is not None and not isinstance(generator, nn.Module):
            raise ValueError(f"generator: expected a network (nn.Module), got {type(generator).__name__}")
        self.module = SemanticPaste(pool, **options)
        self.module.paste.seed = given.seed  # of the jitter's draws
        self.device = None if device is None else find_device(device)
        self.way, self.joints, self.people, self.limbs = given.way, given.joints, given.people, given.limbs
        self.verify, self.part_choices, self.pairs = given.verified, given.part_choices, given.pairs
        self.solvable, self.rate, self.seed = given.solvable, given.rate, given.seed
        types = len(self.module.pool.types)
        self._given = given
        self.placer = self._placer(self.device or torch.device("cpu"))
        self._generator: LoopGenerator | None = None
        if way == "generator":
            self._generator = LoopGenerator(types, generator, rate or 1e-3, self.seed)
        self._batches = 0
        self._looked = False  # whether what `paste` is given is in the units said: once a process, not once a run
        self._settled = False  # whether what learns is where the batches are
        self._pending: _Pending | None = None

    def _placer(self, device: torch.device) -> Placer | None:
        """Who chooses among candidates; None: nobody (random), or the generator."""
        given, types = self._given, len(self.module.pool.types)
        settings: dict[str, Any] = {"verify": self.verify, "reduced": False, "parts": self.part_choices}
        settings |= {"solvable": self.solvable, "seed": self.seed}
        if self.way == "search":
            return Search(self.limbs, **settings)
        settings["candidates"] = given.candidates
        if self.way == "cover":
            return _Cover(self.limbs, clean=True, **settings)
        if self.way != "critic":
            return None
        settings |= {"explore": given.explore, "people": self.people, "rate": self.rate or 3e-3}
        settings |= {"memory": PAIRS} if self.pairs else {}
        return Critic(types, self.joints or len(GRID) ** 2, self.limbs, **settings, device=device)

    def _settle(self, image: Tensor) -> None:
        """At the first batch what learns goes where that is, unless `device` says where batches are."""
        if self.device is None:
            self.device = image.device
        if image.device != self.device:
            raise ValueError(f"image: expected it on {self.device} (device, or the first one's), got {image.device}")
        if self._settled:
            return
        if self._generator is not None:
            self._generator.settle(self.device)
        if self.placer is not None:
            moved = self._placer(self.device)
            assert moved is not None
            moved.load_state_dict(self.placer.state_dict())
            self.placer = moved
        self._settled = True

    @property
    def generator(self) -> nn.Module | None:
        """The network of way generator."""
        return None if self._generator is None else self._generator.network

    def paste(
        self,
        image: Tensor,
        network: Callable[[Tensor], Any] | None = None,
        losses: Losses | None = None,
        *,
        keypoints: Any = None,
        boxes: Any = None,
        response: Tensor | None = None,
        index: Tensor | None = None,
        teacher: Callable[[Tensor], Any] | None = None,
    ) -> Tensor:
        """image [B, 3, H, W], uint8 or float -> the same, with parts where they are hard. Keypoints stay what they are.

        network    anything that takes such images; asked where `verify` is over 1, and by the generator, which needs
                   float images: its gradient goes through the pixels. A module is in evaluation mode meanwhile (the
                   generator's step: in its own, with batch-norm statistics held), its weights get no gradient. A
                   function of yours is called as it is: where it calls a module that trains, batch norms see these
                   passes, too.
        losses     what network(image) gives -> [B] or [B, J], the loss of each person (and joint) of this batch. Those
                   of joints that are not labelled do not count, nor those that are not finite.
        keypoints  [B, J, 2] or [B, J, 3] (x, y, v: 0 = not labelled), in pixels of `image`. Without them nine points
                   of the box stand for the joints.
        boxes      [B, 4] x0, y0, x1, y1 of the person. Without them the keypoints' own box; where less than two are
                   labelled, a person who fills the image but for a margin.
        response   cover: [B, J] 0..1, how surely the network finds each keypoint of the clean image; it hides those
        index      [B] each person's row of your dataset, where `people` was given
        teacher    where `solvable` was given: another such network, e.g. a running mean of the network's weights

        ValueError and TypeError name the argument.
        """
        self._pending = None  # also where this one fails: `learn` must not take its losses for the last one's
        if torch.is_inference_mode_enabled() and self.way in ("critic", "generator"):
            raise ValueError(f"paste: {self.way} learns, which torch.inference_mode forbids: use torch.no_grad instead")
        scene = self._scene(image, network, losses, keypoints, boxes, response, index, teacher)
        self._batches += 1
        self._looked = True
        with self._exact():
            if self._generator is not None:
                pasted = self._generator.paste(scene)
                self._pending = _Pending(scene, None, pasted)
                return pasted.detach().clone()  # the loop may work on it in place
            if self.placer is None:
                self._pending = _Pending(scene, None, None)
                return scene.render(scene.slots.theta)
            choice = self.placer.choose(scene, explore=True)
            self._pending = _Pending(scene, choice, None)
            return scene.render(choice.theta, choice.slots)

    def _exact(self) -> Any:
        """Autocast is for the loop's networks: in half precision a joint is a pixel beside itself."""
        assert self.device is not None
        return torch.autocast(self.device.type, enabled=False)

    def _scene(
        self,
        image: Tensor,
        network: Callable[[Tensor], Any] | None,
        losses: Losses | None,
        keypoints: Any,
        boxes: Any,
        response: Tensor | None,
        index: Tensor | None,
        teacher: Callable[[Tensor], Any] | None,
    ) -> LoopScene:
        """What a placer wants to know, of what the loop has."""
        check_image(image)
        if len(image) == 0:
            raise ValueError("image: expected at least one, got a batch of none")
        if self.way == "generator" and image.dtype == torch.uint8:
            raise ValueError("image: expected float for the generator, whose gradient goes through it, got uint8")
        self._settle(image)
        for name, asked in (("network", network), ("losses", losses), ("teacher", teacher)):
            if asked is not None and not callable(asked):
                raise TypeError(f"{name}: expected something to call, got {type(asked).__name__}")
        if (self.verify > 1 or self.way == "generator") and (network is None or losses is None):
            raise ValueError(f"network, losses: {self.way} asks the network by forward passes, so paste needs both")
        if (teacher is None) == (self.solvable > 0):
            wanted = "a network beside solvable, got none" if self.solvable else "solvable above 0 beside it, got 0"
            raise ValueError(f"teacher: expected {wanted}")
        if response is not None and self.way != "cover":
            raise ValueError(f"response: expected way cover beside it, got {self.way}")
        points, labelled = points_of(image, keypoints, self.joints, look=not self._looked)
        if boxes is None and points is not None:
            boxes = around(points, labelled, image)
        batch = self.module.batch(image, boxes)
        if points is None:
            points, labelled = grid(batch.box)
        batch.joints, batch.visible = points, labelled.to(torch.uint8) * 2
        if self.pairs:
            self._check_pairs(batch)
            batch.row = batch.row[: len(batch) // 2].repeat(2)
        if index is not None:
            batch.row = self._rows(index, len(batch)).to(image.device)
        rank, world = rank_and_world()
        kind = image.device.type
        number = self._batches * world + rank
        return LoopScene(
            batch=batch,
            slots=self.module.paste.draw_from(batch, self.seed, number),
            target=points[:, :, 0],  # unused: the loop's own losses know their targets
            weight=labelled.float(),
            augmentation=self.module.paste,
            pose=network,  # type: ignore[arg-type] # anything that can be called
            epoch=number,
            amp=torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None,
            trained=index is not None,
            teacher=teacher,  # type: ignore[arg-type]
            module=self.module,
            losses=losses,
            original=image,
            response=None if response is None else _tensor("response", response, "numbers [B, J]").to(image.device),
            stand_ins=keypoints is None,
            pairs=self.pairs,
        )

    def _check_pairs(self, batch: Batch) -> None:
        """ValueError where the batch is not everybody twice; looked at in the first one, since that is a wait on a
        GPU."""
        if len(batch) % 2:
            raise ValueError(f"image: expected an even number with pairs, everybody twice, got {len(batch)}")
        if self._looked:
            return
        for name, value in (("image", batch.image), ("keypoints", batch.joints), ("boxes", batch.box)):
            if not torch.equal(*value.chunk(2)):
                raise ValueError(
                    f"{name}: expected everybody twice with pairs, torch.cat(({name}, {name})), got others"
                )

    def learn(self, losses: Tensor) -> None:
        """Learn from the losses [B] or [B, J] of the images that the last `paste` gave (they are detached here).

        The generator takes its step by its own forward pass of the network instead, as the paper's; random, cover and
        search learn nothing. Call it once after each `paste`.
        """
        pending = self._pending
        if pending is None:
            raise ValueError("learn: expected once after each paste, got a call without one")
        losses = pending.scene.table(losses, "learn")
        self._pending = None  # from here on: a call with other losses can be mended
        with self._exact():
            if self._generator is not None and pending.image is not None:
                self._generator.ascend(pending.scene, pending.image)
            elif pending.choice is not None and self.placer is not None:
                self.placer.learn(pending.scene, pending.choice, losses)

    def state_dict(self) -> dict[str, Any]:
        """Everything that an exact resume needs."""
        state: dict[str, Any] = {"way": self.way, "batches": self._batches, "options": self._options()}
        if self.placer is not None:
            state["placer"] = self.placer.state_dict()
        return state if self._generator is None else state | self._generator.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """ValueError where the state is of another adversary. A rate given to the constructor stays."""
        if not isinstance(state, dict) or not isinstance(state.get("options", {}), dict):
            raise ValueError(f"adversary: expected a state of state_dict, got {type(state).__name__}")
        if state.get("way") != self.way:
            raise ValueError(f"adversary: expected the state of {self.way}, got {state.get('way', 'no adversary')!r}")
        own = self._options()
        came = {**own, "part_choices": 1, "pairs": False, **state.get("options", {})}  # what older states do not say
        for name, value in own.items():
            if came.get(name) != value:
                raise ValueError(f"adversary: expected a state with {name} {value}, got {came.get(name, 'none')}")
        learnt = [] if self.placer is None else ["placer"]
        learnt += [] if self._generator is None else ["generator", "optimizer"]
        try:
            batches, _ = int(state["batches"]), [state[name] for name in learnt]  # before anything is changed
            if self.placer is not None:
                self.placer.load_state_dict(state["placer"])
            if self._generator is not None:
                self._generator.load_state_dict(state)
            learner = self.placer if isinstance(self.placer, Critic) else self._generator
            if self.rate is not None and learner is not None:
                for group in learner.optimizer.param_groups:
                    group["lr"] = self.rate
            self._batches = batches
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"adversary: expected a whole state of the same networks: {error}") from None
        self._pending = None

    def _options(self) -> dict[str, Any]:
        """What two adversaries share whose states are alike."""
        paste, types = self.module.paste, list(self.module.pool.types)
        rules, ranges = paste.rules, {name: list(pair) for name, pair in vars(paste.ranges).items()}
        choices: dict[str, Any] = {"verify": self.verify, "part_choices": self.part_choices, "pairs": self.pairs}
        choices |= {"solvable": self.solvable, "seed": self.seed}
        if isinstance(self.placer, Selection):
            choices |= {"candidates": self.placer.candidates, "explore": self.placer.explore}
        choices |= {"p": rules.probability, "patch_flip": rules.patch_flip, "jitter": paste.jitter, "mode": paste.mode}
        choices |= {"mean": list(paste.mean), "std": list(paste.std), "ranges": ranges}
        choices |= {"types": types, "drawn": None if rules.types is None else list(rules.types)}
        choices |= {"parts": [paste.fewest, paste.most], "edges": [list(edge) for edge in self.limbs]}
        return {"joints": self.joints, "people": self.people, **choices}

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_pending": None}  # a batch and its graph, which nobody can pickle

    def __repr__(self) -> str:
        return f"Adversary({self.module.paste.pool!r}, {self.way!r}, joints={self.joints}, verify={self.verify})"

    def _rows(self, index: Any, count: int) -> Tensor:
        if not self.people:
            raise ValueError("index: expected people=N in the constructor beside it")
        rows = _tensor("index", index, f"[{count}] whole numbers")
        if rows.shape != (count,) or rows.is_floating_point() or rows.dtype == torch.bool:
            raise ValueError(f"index: expected [{count}] whole numbers, got {list(rows.shape)} {rows.dtype}")
        rows = rows.long()
        if rows.device.type == "cpu" and not (int(rows.min()) >= 0 and int(rows.max()) < self.people):
            raise ValueError(f"index: expected rows of {self.people} people, got {rows.tolist()[:8]}")
        if rows.device.type == "cpu" and self.pairs and not torch.equal(*rows.chunk(2)):
            raise ValueError(f"index: expected everybody twice with pairs, got {rows.tolist()[:8]}")
        return rows


def _tensor(name: str, value: Any, wanted: str) -> Tensor:
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name}: expected {wanted}, got {type(value).__name__}") from None


class _Cover(Cover):
    def look(self, scene: Scene) -> Clean:
        assert isinstance(scene, LoopScene)
        if scene.response is None:
            return Clean(torch.ones_like(scene.weight), torch.zeros_like(scene.weight))
        if scene.response.shape != scene.weight.shape:
            raise ValueError(f"response: expected {list(scene.weight.shape)}, got {list(scene.response.shape)}")
        return Clean(scene.response.detach().float().nan_to_num(0.0).clamp(0, 1), torch.zeros_like(scene.weight))


@dataclass
class _Pending:
    """What `paste` keeps for `learn`."""

    scene: LoopScene
    choice: Choice | None
    image: Tensor | None  # the generator's, with its graph
