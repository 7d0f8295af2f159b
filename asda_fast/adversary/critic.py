"""The critic: learns from D's own losses which placements are hard, and chooses by it.

For every candidate and joint a small network says by how much that joint's loss would rise. It learns by regression
from the losses that training computes anyway: of D's own step, beside a learned baseline; or, where proposals are
verified or everybody is in the batch twice, from the differences between the passes of one person, in which all that is
not the placement drops out.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from asda_fast.adversary.base import Choice
from asda_fast.adversary.coverage import Coverage, coverage
from asda_fast.adversary.critic_network import Baseline, Rise, features
from asda_fast.adversary.ranks import gathered
from asda_fast.adversary.replay import Replay
from asda_fast.adversary.scene import Scene
from asda_fast.adversary.selection import Clean, Judged, Selection

MOMENTUM = 0.98  # of the running mean loss of each joint
SMOOTHING = 0.05  # the weights that choose are a running mean of those that learn: share of the newest, a step ..
HASTE = 10  # .. and steps for which it is larger, since the first weights know nothing
NEWEST = 0.5  # weight of the newest visit in a person's history


class Critic(Selection):
    """Further options:

    types, joints  of the pool and the skeleton
    people         rows of the table that D is trained on, whose losses it remembers; 0: none are remembered
    rate           Adam's learning rate
    updates        steps of regression for each batch, of `lessons` lessons each
    memory         lessons kept (fewer where a lesson is large)
    """

    def __init__(
        self,
        types: int,
        joints: int,
        edges: tuple[tuple[int, int], ...] = (),
        *,
        people: int = 0,
        rate: float = 3e-3,
        updates: int = 2,
        lessons: int = 128,
        memory: int = 8192,
        device: torch.device | str = "cpu",
        explore: float = 0.3,
        **options: Any,
    ) -> None:
        super().__init__(edges, explore=explore, **options)
        for name, value in (("updates", updates), ("lessons", lessons), ("memory", memory)):
            if value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
        if self.verify == self.candidates:
            raise ValueError(f"verify: expected less than candidates ({self.candidates}), got {self.verify}")
        self.updates, self.lessons = updates, lessons
        with torch.random.fork_rng(devices=[]):  # the same weights on every rank, and no draw taken from the run
            torch.default_generator.manual_seed(self.seed)  # torch.manual_seed would reach every GPU's, too
            self.rise, self.baseline = Rise(types, joints), Baseline(joints)
        for network in (self.rise, self.baseline):  # float also where torch's default type is another
            network.to(device, torch.float32)
        self.chooser = copy.deepcopy(self.rise).requires_grad_(False)
        parameters = [*self.rise.parameters(), *self.baseline.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=rate, fused=True)
        self.replay = Replay(memory, self.seed)
        zeros = partial(torch.zeros, dtype=torch.float32, device=device)
        self.sums = zeros((3, joints))  # running sums of losses, of labelled joints, of |losses|
        self.history = zeros((people, joints, 2))  # loss / scale, and 1 where there is any

    def score(self, scene: Scene, covered: Coverage, clean: Clean | None) -> Tensor:
        x = self.features(scene, covered, clean)
        return (self.chooser(x, covered.type) * (scene.weight > 0)[:, None, None]).sum(-1)

    def features(self, scene: Scene, covered: Coverage, clean: Clean | None) -> Tensor:
        if clean is None:
            response = losses = torch.zeros_like(scene.weight)
        else:
            response, losses = clean.response, clean.losses / self.scale()
        return features(scene, covered, response, losses)

    def scale(self) -> Tensor:
        """[] the running mean of |loss|, in units of which everything is learnt; 1 before any loss but 0 was seen.

        Not of the losses themselves: those of a likelihood turn negative, and hard would become easy.
        """
        seen = self.sums[2].sum() > 0
        return torch.where(seen, self.sums[2].sum() / self.sums[1].sum(), 1.0)

    def usual(self) -> Tensor:
        """[J] the running mean loss of each joint, in units of `scale`; of all joints where one was never labelled, and
        1 before anything was learnt."""
        losses, labelled, _ = self.sums
        whole = torch.where(labelled.sum() > 0, losses.sum() / labelled.sum(), 1.0)
        return torch.where(labelled > 0, losses / labelled, whole) / self.scale()

    @torch.no_grad()
    def learn(self, scene: Scene, choice: Choice, losses: Tensor) -> None:
        judged: Judged = choice.memory
        alone = judged.losses is None and not scene.pairs  # D's own step is the only pass, and at one place
        seen = gathered(self.of_pairs(scene, choice, losses) if scene.pairs else self.of_judged(judged, losses))
        lesson = {name: seen[name] for name in ("x", "type", "weight")}
        if alone:
            lesson["known"] = self.circumstances(seen, scene.trained)
        self.count(seen, scene.trained)
        lesson["y"] = seen["losses"] / self.scale()
        self.replay.add(lesson)
        if scene.pairs and judged.losses is not None:
            seen = gathered(self.of_judged(judged, losses))
            self.replay.add(in_pairs(seen, seen["losses"] / self.scale()))
        for _ in range(self.updates):
            self.regress(self.replay.draw(self.lessons))

    def of_judged(self, judged: Judged, losses: Tensor) -> dict[str, Tensor]:
        """What D said of G proposals of each of those who were judged, or of everybody's one place in its own step."""
        assert judged.coverage is not None
        scene = judged.scene  # without those who were not judged
        return {
            "row": scene.batch.row,
            "type": judged.coverage.type,
            "x": self.features(scene, judged.coverage, judged.clean),  # [B, N, G, J, FEATURES]
            "weight": (scene.weight > 0).float(),
            "hidden": judged.coverage.hidden.amax((1, 2)),  # [B, J]
            "losses": losses[:, None] if judged.losses is None else judged.losses,  # [B, G, J]
        }

    def of_pairs(self, scene: Scene, choice: Choice, losses: Tensor) -> dict[str, Tensor]:
        """What D's own step said of the two places of each pair: as `of_judged`, with G = 2."""
        parts = choice.slots and choice.slots.each(lambda column: column[:, :, None])
        covered = coverage(scene, choice.theta[:, :, None], self.edges, parts)
        first = len(losses) // 2

        def both(value: Tensor) -> Tensor:  # [2 P, N, 1, ...] -> [P, N, 2, ...]
            return torch.cat(value.chunk(2), 2)

        return {
            "row": scene.batch.row[:first],
            "type": covered.type[:first] if parts is None else both(covered.type),
            "x": both(self.features(scene, covered, None)),
            "weight": (scene.weight > 0).float().unflatten(0, (2, first)).amin(0),  # a loop's loss of one may overflow
            "losses": torch.stack(losses.chunk(2), 1),
        }

    def circumstances(self, seen: dict[str, Tensor], trained: bool) -> Tensor:
        """[B, J, CIRCUMSTANCES] what is known of each joint's loss besides the placement."""
        usual = self.usual().expand_as(seen["weight"])
        old = torch.zeros_like(usual)
        if trained and len(self.history):
            past = self.history[seen["row"]]
            usual, old = torch.where(past[..., 1] > 0, past[..., 0], usual), past[..., 1]
        # How the person's other joints fared in this pass, those that the part does not hide: the crop, the flip, D's
        # progress since the last visit. Each joint is told of the others only.
        trust = seen["weight"] * (1 - seen["hidden"])
        surprise = (seen["losses"][:, 0] / self.scale() - usual) * trust
        others = trust.sum(1, keepdim=True) - trust
        surprise = (surprise.sum(1, keepdim=True) - surprise) / others.clamp(min=1.0)
        clean = seen["x"][:, 0, 0, :, -2:]
        known = torch.stack((usual, old, surprise, others / others.shape[1]), -1)
        return torch.cat((known, clean, (usual.abs().log1p() * usual.sign())[..., None]), -1)

    def count(self, seen: dict[str, Tensor], trained: bool) -> None:
        """Take the batch into the running means and the people's histories."""
        losses, weight = seen["losses"].mean(1), seen["weight"]
        self.sums.mul_(MOMENTUM).add_(torch.stack((losses * weight, weight, losses.abs() * weight)).sum(1))
        if trained and len(self.history):
            past, now = self.history[seen["row"]], losses / self.scale()
            now = torch.where(past[..., 1] > 0, torch.lerp(past[..., 0], now, NEWEST), now)
            labelled = weight > 0
            now = torch.where(labelled, now, past[..., 0])
            self.history[seen["row"]] = torch.stack((now, torch.maximum(past[..., 1], weight)), -1)

    @torch.enable_grad()
    def regress(self, lesson: dict[str, Tensor]) -> None:
        rise = self.rise(lesson["x"], lesson["type"]).sum(1)  # [n, G, J], over slots
        y = lesson["y"]
        if "known" in lesson:
            rise = rise + self.baseline(lesson["known"])[:, None]
        else:
            rise, y = rise - rise.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
        error = F.smooth_l1_loss(rise, y, reduction="none") * lesson["weight"][:, None]
        self.optimizer.zero_grad(set_to_none=True)
        error.mean().backward()
        self.optimizer.step()
        newest = max(SMOOTHING, HASTE / (HASTE + self.replay.draws))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.chooser.parameters()), list(self.rise.parameters()), newest)

    def state_dict(self) -> dict[str, Any]:
        return {
            "rise": self.rise.state_dict(),
            "chooser": self.chooser.state_dict(),
            "baseline": self.baseline.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "replay": self.replay.state_dict(),
            "sums": self.sums.clone(),
            "history": self.history.clone(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "rise" not in state:
            raise ValueError("adversary: expected the state of a critic, got another adversary's")
        for name, own in (("type", self.rise.type_embedding), ("joint", self.rise.joint_embedding)):
            came = state["rise"].get(f"{name}_embedding.weight")
            if came is None or came.shape != own.weight.shape:
                have = "none" if came is None else len(came)
                raise ValueError(f"adversary: expected a critic of {len(own.weight)} {name}s, got one of {have}")
        if state["history"].shape != self.history.shape:
            raise ValueError(f"adversary: expected a critic of {len(self.history)} people, got {len(state['history'])}")
        self.rise.load_state_dict(state["rise"])
        self.chooser.load_state_dict(state["chooser"])
        self.baseline.load_state_dict(state["baseline"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.replay.load_state_dict(state["replay"], self.sums.device)
        sums = state["sums"]
        self.sums.copy_(sums if len(sums) == 3 else torch.stack((*sums, sums[0].abs())))  # older states have two
        self.history.copy_(state["history"])


def in_pairs(seen: dict[str, Tensor], y: Tensor) -> dict[str, Tensor]:
    """What was seen of G proposals, and y [B, G, J], as B (G // 2) lessons of two; of an odd number one is left out."""
    pairs = y.shape[1] // 2

    def split(value: Tensor, dim: int) -> Tensor:
        """The proposals, along `dim`, as rows of two."""
        two = value.narrow(dim, 0, 2 * pairs).unflatten(dim, (pairs, 2))
        return two.movedim(dim, 1).flatten(0, 1)

    kind = seen["type"]
    return {
        "x": split(seen["x"], 2),
        "type": kind.repeat_interleave(pairs, 0) if kind.dim() == 2 else split(kind, 2),
        "weight": seen["weight"].repeat_interleave(pairs, 0),
        "y": split(y, 1),
    }
