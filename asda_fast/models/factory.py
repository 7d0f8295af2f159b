"""Networks by name, made new or loaded from a file."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from torch import nn

from asda_fast.core.errors import UserError, short
from asda_fast.models import NETWORKS
from asda_fast.models.checkpoints import read, size_of
from asda_fast.models.network import Network
from asda_fast.models.weights import load_into, only_network


def build(
    name: str,
    joints: int = 17,
    init: str | Path | None = None,
    random_body: bool = False,
    size: tuple[int, int] | None = None,
    **options: Any,
) -> nn.Module:
    """The pose network `name`: image [B, 3, H, W] normalised -> heatmaps [B, joints, h, w].

    h and w are a quarter of H and W for the built-in networks (`coding_of` tells for any, and checks). An hourglass
    returns the list of its stacks' heatmaps while training.

    Args:
        name: a key of `NETWORKS`, "timm:NAME" for a backbone of timm's, or "my.module:make" for
            `make(joints, **options) -> nn.Module`; UserError for what is none of them.
        joints: heatmaps to predict.
        size: (height, width) of the crops, for makers that ask for it (an option `size`).
        init: a checkpoint to start from (ImageNet's, or a pose network's; see `load_into`), else random.
        random_body: take an `init` that lacks part of the network's body.
        options: of the network, over the registry's.
    """
    if isinstance(joints, bool) or not isinstance(joints, Integral) or joints < 1:
        raise UserError(f"joints: expected a whole number from 1, got {joints!r}")
    thing = NETWORKS.load(name)
    make = thing.make if isinstance(thing, Network) else _maker(name, thing)
    known = thing.options if isinstance(thing, Network) else {}
    if unknown := [option for option in options if not _takes(make, option)]:
        raise UserError(
            f"model {name}: takes no option {unknown[0]!r}; it takes {', '.join(_options_of(make)) or 'none'}"
        )
    if size is not None and "size" in inspect.signature(make).parameters:
        options = {"size": tuple(size), **options}
    model = make(joints=joints, **{**known, **options})
    if not isinstance(model, nn.Module):
        raise UserError(f"model {name}: expected a torch.nn.Module, made a {type(model).__name__}")
    if init is not None:
        load_into(model, init, random_body=random_body)
    return model


def _takes(make: Callable[..., Any], option: str) -> bool:
    parameters = inspect.signature(make).parameters
    return option in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _options_of(make: Callable[..., Any]) -> list[str]:
    return [
        name
        for name, p in inspect.signature(make).parameters.items()
        if name not in ("joints", "size") and p.kind != p.VAR_KEYWORD
    ]


def _maker(name: str, thing: Any) -> Callable[..., Any]:
    """`thing`, once it says that it makes pose networks: a checkpoint can name any object, and is not to call it."""
    try:
        takes = "joints" in inspect.signature(thing).parameters
    except (TypeError, ValueError):
        takes = False
    if not takes:
        raise UserError(f"model {name}: expected a function make(joints, **options) that makes a network")
    return thing


def load(path: str | Path, within: str | None = None, mean: bool = True) -> nn.Module:
    """A ready pose network, in evaluation mode, from our file or a published checkpoint with a heatmap head.

    Its `config` attribute says what it is: "model", "joints" and whatever was saved with it; `beside` names further
    networks of the file, not taken. UserError where the file is not a complete pose network. within: which one, where a
    file holds several ("student"). mean: of a run that keeps a mean of the weights that, which it evaluates; else the
    newest weights.
    """
    checkpoint = read(path, mean=mean)
    config = checkpoint.config
    beside: tuple[str, ...] = ()
    if config is None:
        found, beside = only_network(checkpoint, within)
        config = found.foreign.build
        if config is None:
            kind = found.foreign.format
            raise UserError(f"{path} ({kind}): has no heatmap head; it can start a training (init), not be evaluated")
        within = found.place
    model = _empty(path, config)
    load_into(model, checkpoint, complete=True, within=within)
    model.config = config  # type: ignore[assignment]
    model.beside = beside  # type: ignore[assignment]
    if config.get("target") is not None:
        if (config["target"] == "simcc") != (getattr(model, "target", "hrnet") == "simcc"):
            raise UserError(f"{path}: says that its target is {config['target']}; its network's is another")
        model.target = config["target"]
    return model.eval()


def _empty(path: str | Path, config: dict[str, Any]) -> nn.Module:
    """The network that a file names, its tensors about to come from there."""
    name, joints, options = config["model"], config["joints"], config.get("options", {})
    known = name in NETWORKS
    try:
        if size := size_of(config):
            options = {"size": size, **options}
        if not known:  # a network of somebody's own may hold tensors that no file has
            return build(name, joints, **options)
        with torch.device("meta"):
            model = build(name, joints, **options)
        model.to_empty(device="cpu")
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:  # options of another version, or the network's own fault
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise UserError(f"{path}: cannot make its network {short(name)} of {short(joints)} joints: {why}") from error
    for key, tensor in model.named_buffers():
        if key.endswith("num_batches_tracked"):  # old files lack these
            tensor.zero_()
    return model
