"""Networks in other people's files: found under whatever wrappers stand round them, told by their keys, renamed.

A wrapper is a dictionary in the file (`state_dict`, `model`, `ema`), a prefix of the keys (`model.`, `ema_model.`,
`student.`) or a word amid them (`_orig_mod`, `module`). Words are dropped, prefixes are whatever stands before a key
that only one family of networks has, so that any depth and order of them is read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from asda_fast.core.registry import load_object
from asda_fast.models import NETWORKS
from asda_fast.models.checkpoints import Checkpoint
from asda_fast.models.network import Adapter, Foreign, State

# torch.compile, DataParallel and AveragedModel, FSDP, activation checkpoints, Lightning's strategies
WORDS = {"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}
# Dictionaries by custom, the one to take first. ASDA's stn_state_dict is its generator.
PLACES = {
    "pose": ("pose", "state_dict", "best_state_dict", "model_state_dict", "model"),
    "generator": ("generator", "stn_state_dict", "state_dict", "model_state_dict", "model"),
}
NO_CUSTOM = 99  # the rank of a place that none of these words is in
OTHERS = {"pose": {"generator", "stn_state_dict"}, "generator": {"pose"}}
AVERAGED = re.compile(r"(^|[._])(ema|swa|avg|averaged|shadow)([._]|$)")  # taken where nothing else is there
# What an optimiser keeps of each weight has the weights' names and shapes, and is none: taken only where it is named.
LEARNER = re.compile(r"(^|[._])(optim\w*|momentum\w*|exp_avg\w*|grads?|gradients?|velocity|square_avg|mu|nu)([._]|$)")


@dataclass(frozen=True)
class Found:
    """A network in a file."""

    place: str  # where: "state_dict", "state_dict.student", "" for the file itself
    rank: tuple[bool, int]  # smaller ones are taken first
    foreign: Foreign

    @property
    def learner(self) -> bool:
        """Whether its place says that an optimiser kept it."""
        return bool(LEARNER.search(self.place))

    def rivals(self, other: Found) -> bool:
        """Whether custom does not say that this one goes before that other: they rank alike, or nothing but a name
        of somebody's own is known of the other."""
        return other.rank in (self.rank, (self.rank[0], NO_CUSTOM))


def networks_in(checkpoint: Checkpoint, part: str, own: State | None = None) -> list[Found]:
    """Every network in a file that is not ours, the one to take first at the front.

    part: "pose" or "generator". own: the tensors of the network that is to be filled: what has its keys is found too,
    whether or not a published family has them.
    """
    found: dict[str, Found] = {}
    for place, state in checkpoint.states.items():
        if OTHERS[part] & set(place.split(".")):
            continue
        plain = without_words(state)
        several = list(_by_marker(plain))
        if own:  # whose own names may have such words
            several += _by_keys(state if any(WORDS & set(key.split(".")) for key in own) else plain, own)
        for prefix, foreign in several:
            where = ".".join(w for w in (place, prefix.rstrip(".")) if w)
            found.setdefault(where, Found(where, _rank(where, part), foreign))
    return sorted(found.values(), key=lambda f: f.rank)


def recognise(state: State) -> Foreign | None:
    """The published network whose tensors these are, None for an unknown one."""
    return next((foreign for _, foreign in _by_marker(without_words(state))), None)


def without_words(state: State) -> State:
    """The same tensors, wrappers' words dropped from their names; `state` itself where two names would become one."""
    plain = {".".join(w for w in key.split(".") if w not in WORDS): value for key, value in state.items()}
    return plain if len(plain) == len(state) and plain.keys() != state.keys() else state


def _by_marker(state: State) -> Iterator[tuple[str, Foreign]]:
    """(prefix, network) for each family's marker among the keys."""
    prefixes: set[str] = set()
    for adapter, pattern in _families():
        for key in state:
            match = pattern.search(key)
            if match is not None and key[: match.start(1)] not in prefixes:
                prefix = key[: match.start(1)]
                prefixes.add(prefix)
                yield prefix, adapter.read(_under(state, prefix))


def _by_keys(state: State, own: State) -> Iterator[tuple[str, Foreign]]:
    """(prefix, tensors) for the prefixes under which most keys of the network `own` stand."""
    counts: Counter[str] = Counter()
    for key in state:
        at = 0
        while at >= 0:
            if key[at:] in own:
                counts[key[:at]] += 1
            at = key.find(".", at) + 1 or -1
    for prefix, count in counts.items():
        if count > 0.5 * max(counts.values()):
            yield prefix, Foreign("its own names", _under(state, prefix))


def _under(state: State, prefix: str) -> State:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _rank(place: str, part: str) -> tuple[bool, int]:
    words, order = place.split("."), PLACES[part]
    return bool(AVERAGED.search(place)), next((i for i, word in enumerate(order) if word in words), NO_CUSTOM)


@cache
def _families() -> list[tuple[Adapter, re.Pattern[str]]]:
    """The adapters of all built-in networks, the generator's first: its keys are a ResNet's and more."""
    every = [load_object("asda_fast.models.generator:FILES", "model")]
    every += [NETWORKS.load(name).adapt for name in NETWORKS]
    once = {id(adapter): adapter for adapter in every if adapter is not None}
    return [(adapter, re.compile(rf"(?:^|\.)({adapter.marker})$")) for adapter in once.values()]
