"""Weights from a file into a network. A load always reports what it loaded, what the network misses and what the file
had too much of, and refuses what would leave the network's body at its random start: of all answers the worst is a
network that silently learnt nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from asda_fast.core.errors import UserError
from asda_fast.models.checkpoints import Checkpoint, read, size_of
from asda_fast.models.foreign import WORDS, Found, networks_in, without_words
from asda_fast.models.network import Foreign, State, shorten


@dataclass
class Report:
    """What a file gave a network. Tensors by their names in the network; `unexpected` by their names in the file."""

    path: str
    format: str
    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)  # there, but of another shape or type
    beside: list[str] = field(default_factory=list)  # further networks in the file, not taken

    def __str__(self) -> str:
        text = f"{self.path} ({self.format}): {len(self.loaded)} tensors loaded"
        for keys, what in (
            (self.missing, "missing, left at random"),
            (self.mismatched, "of another shape, left at random"),
            (self.unexpected, "unexpected, not used"),
        ):
            if keys:
                text += f", {len(keys)} {what} ({shorten(by_module(keys), 6)})"
        return text + (f"; not taken: {shorten(self.beside)}" if self.beside else "")


def by_module(names: list[str]) -> list[str]:
    """Names of tensors, those of one module as one: "head.final (2)"."""
    modules: dict[str, list[str]] = {}
    for name in names:
        modules.setdefault(name.rpartition(".")[0] or name, []).append(name)
    return [of[0] if len(of) == 1 else f"{module} ({len(of)})" for module, of in modules.items()]


def load_into(
    model: nn.Module,
    path: str | Path | Checkpoint,
    part: str = "pose",
    complete: bool = False,
    random_body: bool = False,
    within: str | None = None,
) -> Report:
    """Copy the weights of a published or own checkpoint into `model`, and report.

    The file may wrap the network in whatever it likes; where it holds several, the one is taken that fits the model,
    and of those what custom puts first (averaged weights last).

    Args:
        part: "pose" or "generator", for files that hold both.
        complete: every tensor of the network must come from the file (evaluation). Otherwise the file may have another
            head (ImageNet's, or other joints), which then keeps its random start, and lack what the network calls
            `optional`. A body of another shape is always refused with a UserError.
        random_body: take also a file that lacks some of the network's body; not one that hardly has any of it.
        within: the network to take, by a word of its place in the file ("student", "ema_model").
    """
    checkpoint = path if isinstance(path, Checkpoint) else read(path, part)
    own = model.state_dict()
    if checkpoint.config is not None:
        state = checkpoint.states[""]
        if not any(WORDS & set(key.split(".")) for key in own):  # wrapped when it was saved
            state = without_words(state)
        ours = Foreign(f"asda_fast, {checkpoint.config['model']}", state)
        several = [Found("", (False, 0), ours)]
    else:
        several = networks_in(checkpoint, part, own) or [
            Found(place, (False, 0), Foreign("unknown", state)) for place, state in checkpoint.states.items()
        ]
    several = _within(checkpoint.path, several, within)
    if hasattr(model, "adapt_state"):
        size = None if checkpoint.config is None else size_of(checkpoint.config)
        several = [Found(f.place, f.rank, _adapted(model, f.foreign, own, size)) for f in several]
    fits = [sum(_fits(f.foreign.state.get(key), value) for key, value in own.items()) for f in several]
    best = [f for f, count in zip(several, fits, strict=True) if count == max(fits)]
    taken = _first(checkpoint.path, best)
    report = fill(model, taken.foreign, checkpoint.path, complete, random_body)
    report.beside = [f.place for f in best if f is not taken]
    return report


def only_network(checkpoint: Checkpoint, within: str | None = None) -> tuple[Found, tuple[str, ...]]:
    """The published pose network in a file, the first by custom where there are several, and where the others are."""
    several = networks_in(checkpoint, "pose")
    if not several:
        keys = max(checkpoint.states.values(), key=len)
        raise UserError(f"{checkpoint.path}: no network known here has keys such as {shorten(keys)}")
    several = _within(checkpoint.path, several, within)
    whole = [f for f in several if f.foreign.build is not None] or several
    taken = _first(checkpoint.path, whole)
    others = (f for f in whole if f is not taken and not _same(f.foreign.state, taken.foreign.state))
    return taken, tuple(f.place or "the file itself" for f in others)


def _within(path: Path, several: list[Found], within: str | None) -> list[Found]:
    if within is None:
        chosen = [f for f in several if not f.learner]
        if several and not chosen:
            places = shorten((f.place for f in several), 6)
            raise UserError(f"{path}: holds no weights, but what an optimiser keeps of them ({places})")
        return chosen
    chosen = [f for f in several if within == f.place or within in f.place.split(".")]
    if not chosen:
        places = shorten((f.place or "the file itself" for f in several), 6)
        raise UserError(f"{path}: within: no network in {within!r}; there is one in {places}")
    return chosen


def _first(path: Path, several: list[Found]) -> Found:
    """The one to take; UserError where custom does not say which (student and teacher)."""
    first, *others = sorted(several, key=lambda f: f.rank)
    rivals = [f for f in others if first.rivals(f) and not _same(f.foreign.state, first.foreign.state)]
    if rivals:
        places = shorten((f.place or "the file itself" for f in (first, *rivals)), 6)
        raise UserError(f"{path}: holds {1 + len(rivals)} networks ({places}): say which (within)")
    return first


def _same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(a[k].shape == b[k].shape and torch.equal(a[k], b[k]) for k in a)


def _adapted(model: Any, foreign: Foreign, own: State, size: tuple[int, int] | None) -> Foreign:
    return Foreign(foreign.format, model.adapt_state(foreign.state, own, size), foreign.build)


def _fits(given: Tensor | None, wanted: Tensor) -> bool:
    if given is None or given.shape != wanted.shape:
        return False
    counts = wanted.ndim == 0 and {_kind(given), _kind(wanted)} == {"real", "whole"}  # steps, by some kept as a float
    return counts or _kind(given) == _kind(wanted)


def _kind(tensor: Tensor) -> str:
    """Numbers of one kind can be copied without harm; quantised ones are not weights until they are scaled."""
    if tensor.is_meta or tensor.is_quantized:
        return f"{tensor.dtype} without values" if tensor.is_meta else str(tensor.dtype)
    if tensor.is_floating_point() and tensor.element_size() == 1:  # float8 comes with a scale
        return str(tensor.dtype)
    return "real" if tensor.is_floating_point() else "complex" if tensor.is_complex() else "whole"


def fill(model: nn.Module, foreign: Foreign, path: Path, complete: bool, random_body: bool = False) -> Report:
    """Copy `foreign` into `model` (see `load_into`)."""
    state, own = foreign.state, model.state_dict()
    counters = {k for k in own if k.endswith("num_batches_tracked")}  # files from before torch 0.4.1 lack them
    report = Report(str(path), foreign.format)
    for key, wanted in own.items():
        if key not in state:
            report.missing += [] if key in counters else [key]
        else:
            (report.loaded if _fits(state[key], wanted) else report.mismatched).append(key)
    report.unexpected = [k for k in state if k not in own]
    _refuse(model, report, state, own, complete, random_body)
    for key in report.loaded:
        if not torch.isfinite(state[key]).all():
            raise UserError(f"{path} ({foreign.format}): {key} holds values that are not finite (NaN or infinite)")
    _check_variances(report, state)
    model.load_state_dict({k: state[k] for k in report.loaded}, strict=False)
    return report


def _check_variances(report: Report, state: State) -> None:
    """UserError where batch norms hold what no training leaves: what an optimiser keeps, or buffers never written."""
    variances = [key for key in report.loaded if key.endswith("running_var")]
    for key in variances:
        if (state[key] < 0).any():
            raise UserError(f"{report.path} ({report.format}): {key} holds negative variances: these are no weights")
    zero = [key for key in variances if not state[key].any()]
    if 2 * len(zero) > len(variances):
        raise UserError(
            f"{report.path} ({report.format}): {len(zero)} of {len(variances)} batch norms have no variance at all "
            f"({shorten(zero, 1)}): these are no weights"
        )


def _refuse(model: nn.Module, report: Report, state: State, own: State, complete: bool, random_body: bool) -> None:
    """UserError where the tensors do not make the network."""
    path, kind = report.path, report.format
    heads = tuple(getattr(model, "heads", ()))
    optional = heads + tuple(getattr(model, "optional", ()))

    def body(keys: list[str], but: tuple[str, ...]) -> list[str]:
        return [key for key in keys if not any(key == part or key.startswith(f"{part}.") for part in but)]

    other = body(report.mismatched, heads)
    if other:
        key = other[0]
        found, wanted = ((tuple(t[key].shape), _kind(t[key])) for t in (state, own))
        a, b = (found[0], wanted[0]) if found[0] != wanted[0] else (f"{found[1]} numbers", wanted[1])
        raise UserError(f"{path}: holds another network: {key} is {a}, expected {b}")
    if complete and (report.missing or report.mismatched):
        lacking = report.missing + report.mismatched
        raise UserError(
            f"{path}: lacks {len(lacking)} of the network's {len(own)} tensors, or has them in another shape: "
            f"{shorten(lacking)}"
        )
    modules = {k.split(".")[0] for k in own} - set(getattr(model, "leads_nowhere", ()))
    more = [k for k in report.unexpected if k.split(".")[0] in modules]
    if complete and more:  # what stands beside the network (a loss, a preprocessor) does no harm, more layers do
        raise UserError(f"{path}: holds a larger network: {len(more)} tensors have no place: {shorten(more)}")
    if len(report.loaded) < 0.5 * len(own) and len(report.loaded) < 0.9 * len(state):
        raise UserError(
            f"{path} ({kind}): only {len(report.loaded)} of the network's {len(own)} tensors match; "
            f"expected e.g. {shorten(report.missing or own, 1)}, found e.g. {shorten(report.unexpected or state, 1)}"
        )
    missing = body(report.missing, optional)
    if missing and not random_body:
        raise UserError(
            f"{path} ({kind}): lacks {len(missing)} tensors of the network's body, which would stay random: "
            f"{shorten(missing)} (`random_body` takes it all the same)"
        )
