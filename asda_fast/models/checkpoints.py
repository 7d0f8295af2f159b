"""Weights from files: published checkpoints recognised by their keys, our own as safetensors with their configuration.

Nothing in a file is ever executed: torch files are read with `weights_only=True`. A load always reports what it loaded,
what the network misses and what the file had too much of, and refuses where too little matches: a network that silently
stays at its random start is the worst of answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asda_fast.core.errors import UserError

State = dict[str, Tensor]
FORMAT = "asda_fast-1"
PREFIXES = ("module.", "_orig_mod.", "model.")  # DataParallel, torch.compile, Lightning
# Where files keep their weights, best first. ASDA's stn_state_dict is its generator.
NESTS = {
    "pose": ("pose", "state_dict", "best_state_dict", "model_state_dict", "model"),
    "generator": ("generator", "stn_state_dict", "state_dict", "model_state_dict", "model"),
}
RELEASED_TYPES = 25
HEADS = ("final_layer.", "fc.", "fc_locs.", "classifier.", "chantojoints.", "jointstochan.")


@dataclass
class Report:
    """What a file gave a network. Tensors by their names in the network; `unexpected` by their names in the file."""

    path: str
    format: str
    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)  # there, but of another shape

    def __str__(self) -> str:
        text = f"{self.path} ({self.format}): {len(self.loaded)} tensors loaded"
        for name in ("missing", "unexpected", "mismatched"):
            keys = getattr(self, name)
            if keys:
                text += f", {len(keys)} {name} ({shorten(keys)})"
        return text


def shorten(keys: list[str], most: int = 3) -> str:
    return ", ".join(keys[:most]) + (", .." if len(keys) > most else "")


@dataclass
class Checkpoint:
    """What a file holds."""

    path: Path
    state: State  # under this project's names
    format: str  # as recognised
    config: dict[str, Any] | None = None  # of our own files: "model", "joints", "dataset", "input", ..


def read(path: str | Path, part: str = "pose") -> Checkpoint:
    """The tensors of a checkpoint, the recognised format, and the configuration that `save` or a training run wrote.

    part: "pose" or "generator", for files that hold both. Raises UserError for a file that cannot be read without
    executing it, or that holds no network.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                card = file.metadata() or {}
                state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise UserError(f"{path}: not a readable safetensors file ({error})") from None
        ours = card.get("format") == FORMAT
        try:
            config = json.loads(card["config"]) if ours else None
        except (KeyError, ValueError):
            raise UserError(f"{path}: its configuration is damaged") from None
        return Checkpoint(path, *rename(state, path), config)
    with _plain_data():
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises half a dozen kinds for a damaged or unsafe file
            why = (str(error) or type(error).__name__).splitlines()[0][:160]
            if "weights only" in why.lower() or "weights_only" in why:
                why = "it holds other Python objects than tensors and plain values, which are never executed"
            raise UserError(f"{path}: not a checkpoint that can be read safely ({why})") from None
    found = unwrap(content, part)
    if found is None:
        keys = ", ".join(list(map(str, content))[:6]) if isinstance(content, dict) else type(content).__name__
        raise UserError(f"{path}: expected weights of a {part} network, found {keys or 'nothing'}")
    return Checkpoint(path, *rename(found, path), _run_config(content))


def _run_config(content: dict[str, Any]) -> dict[str, Any] | None:
    """What a training run's last.pt says of its network."""
    config = content.get("config")
    if not isinstance(config, dict) or "model" not in config or "joints" not in content:
        return None
    return {"joints": content["joints"]} | {k: config[k] for k in ("model", "dataset", "input") if k in config}


@contextmanager
def _plain_data() -> Iterator[None]:
    """Let numpy arrays and mmengine's training histories through: mmpose's files carry them as metadata."""

    class Inert:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            pass

        def __setstate__(self, state: Any) -> None:
            pass

    scalar = np.dtype("float64").newbyteorder("=").type(0).__reduce__()[0]
    rebuild = np.zeros(1).__reduce__()[0]
    allowed: list[Any] = [np.ndarray, np.dtype, *{type(np.dtype(t)) for t in "?bBhHiIlLqQefdOSUV"}]
    for function, name in ((scalar, "scalar"), (rebuild, "_reconstruct")):
        allowed += [(function, f"{module}.multiarray.{name}") for module in ("numpy.core", "numpy._core")]
    histories = [(Inert, "mmengine.logging.history_buffer.HistoryBuffer")]
    with torch.serialization.safe_globals(allowed + histories):
        yield


def unwrap(content: Any, part: str) -> State | None:
    """The dictionary of tensors inside whatever a project wrapped round it."""
    if not isinstance(content, dict):
        return None
    for nest in NESTS[part]:
        if isinstance(content.get(nest), dict):
            return unwrap(content[nest], part)
    tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor) and v.layout == torch.strided}
    return tensors or None


def rename(state: State, path: Path) -> tuple[State, str]:
    """Published names -> this project's, which are HRNet's, SimpleBaseline's and torchvision's own."""
    for prefix in PREFIXES:
        while state and all(k.startswith(prefix) for k in state):
            state = {k.removeprefix(prefix): v for k, v in state.items()}
    kind = recognise(state)
    if kind is None:
        raise UserError(f"{path}: no network known here has keys such as {shorten(list(state))}")
    if kind.startswith("mmpose"):
        state = {_from_mmpose(k): v for k, v in state.items()}
    if kind == "hourglass, ASDA":
        state = {k.removeprefix("hourglass."): v for k, v in state.items()}
    return state, kind


def _from_mmpose(key: str) -> str:
    key = re.sub(r"^(backbone|head|keypoint_head)\.", "", key)
    return re.sub(r"^final_layer\.0\.", "final_layer.", key)


def recognise(state: State) -> str | None:
    """The name of a checkpoint's format by its keys, None for an unknown one."""

    def any_key(pattern: str) -> bool:
        return any(re.match(pattern, k) for k in state)

    mmpose = any_key(r"backbone\.(conv1|stage4|layer4)")
    prefix = "mmpose, " if mmpose else ""
    body = r"(backbone\.)?" if mmpose else ""
    if any_key(body + r"stage4\.0\.branches\."):
        head = any_key(r"((head|keypoint_head)\.)?final_layer\.")
        return prefix + ("HRNet for ImageNet" if any_key("incre_modules") else "HRNet" if head else "HRNet body")
    if any_key(body + r"layer4\.0\.conv1"):
        if any_key(r"fc_locs\."):
            return "ASDA generator"
        if any_key(r"((head|keypoint_head)\.)?deconv_layers\."):
            return prefix + "SimpleBaseline"
        return prefix + "ResNet"
    if any_key(r"hourglass\.hourglass\.0\."):
        return "hourglass, ASDA"
    if any_key(r"hourglass\.0\."):
        return "hourglass"
    return None


def load_into(model: nn.Module, path: str | Path | Checkpoint, part: str = "pose", complete: bool = False) -> Report:
    """Copy the weights of a published or own checkpoint into `model`, and report.

    complete: every tensor of the network must come from the file (evaluation). Otherwise the file may have another head
    (ImageNet's, or other joints), which then keeps its random start; but a body of another shape, or a file that fills
    less than half of the network and is itself used to less than nine tenths, is refused with a UserError.
    """
    checkpoint = path if isinstance(path, Checkpoint) else read(path, part)
    path = checkpoint.path
    state, kind = checkpoint.state, checkpoint.format
    own = model.state_dict()
    if kind == "ASDA generator":
        state = _with_all_types(state, own)
    counters = {k for k in own if k.endswith("num_batches_tracked")}  # files from before torch 0.4.1 lack them
    report = Report(str(path), kind)
    for key in own:
        if key not in state:
            report.missing += [] if key in counters else [key]
        elif state[key].shape != own[key].shape:
            report.mismatched.append(key)
        else:
            report.loaded.append(key)
    report.unexpected = [k for k in state if k not in own]
    body = [k for k in report.mismatched if not k.startswith(HEADS)]
    if body:
        key = body[0]
        raise UserError(
            f"{path}: holds another network: {key} is {tuple(state[key].shape)}, expected {tuple(own[key].shape)}"
        )
    if complete and (report.missing or report.mismatched):
        lacking = report.missing + report.mismatched
        raise UserError(
            f"{path}: lacks {len(lacking)} of the network's {len(own)} tensors, or has them in another shape: "
            f"{shorten(lacking)}"
        )
    modules = {k.split(".")[0] for k in own} - {"lin2", "jointstochan"}  # ASDA's hourglass has one that leads nowhere
    more = [k for k in report.unexpected if k.split(".")[0] in modules]
    if complete and more:  # what stands beside the network (a loss, a preprocessor) does no harm, more layers do
        raise UserError(f"{path}: holds a larger network: {len(more)} tensors have no place: {shorten(more)}")
    if len(report.loaded) < 0.5 * len(own) and len(report.loaded) < 0.9 * len(state):
        raise UserError(
            f"{path} ({kind}): only {len(report.loaded)} of the network's {len(own)} tensors match; "
            f"expected e.g. {report.missing[0]}, found e.g. {next(iter(report.unexpected), next(iter(state)))}"
        )
    model.load_state_dict({k: state[k] for k in report.loaded}, strict=False)
    return report


def _with_all_types(state: State, own: State) -> State:
    """The released generator places 25 part types, the paper's 26 less Glove, which is our last: the first 25 of a
    larger generator's outputs come from it, the others stay at their start."""
    state = dict(state)
    for key in ("fc_locs.0.weight", "fc_locs.0.bias", "fc_locs.2.weight", "fc_locs.2.bias"):
        given, wanted = state.get(key), own.get(key)
        if given is None or wanted is None or given.shape[1:] != wanted.shape[1:]:
            continue
        if len(given) % RELEASED_TYPES == 0 and len(wanted) % (len(given) // RELEASED_TYPES) == 0 < len(wanted) - len(
            given
        ):
            state[key] = torch.cat((given.to(wanted), wanted[len(given) :]))
    return state


def save(path: str | Path, model: nn.Module, config: dict[str, Any]) -> Path:
    """Write the weights as safetensors and `config` beside them as JSON (also inside the file, which is what `load`
    reads, so that a lost neighbour does no harm).

    config: plain JSON; "model" (a name of the registry) and "joints" are what `load` needs, "options" go to `build`.
    """
    from safetensors.torch import save_file

    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"path: expected a name that ends in .safetensors, got {str(path)!r}")
    for name in ("model", "joints"):
        if name not in config:
            raise ValueError(f"config: expected a key {name!r}")
    found = describe(model.state_dict())
    if found is not None and found["joints"] != config["joints"]:
        raise ValueError(f"config: says {config['joints']} joints, the network has {found['joints']}")
    text = json.dumps(config, indent=2)
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        save_file(tensors, partial, metadata={"format": FORMAT, "config": text})
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    return path


def describe(state: State) -> dict[str, Any] | None:
    """Options of `build` that fit a checkpoint's shapes: {"model": name, "joints": J}, None where there is no head."""
    head = state.get("final_layer.weight", state.get("chantojoints.0.weight"))
    if head is None or head.ndim != 4:
        return None
    joints = int(head.shape[0])
    if "stage4.0.branches.0.0.conv1.weight" in state:
        width = int(state["stage4.0.branches.0.0.conv1.weight"].shape[0])
        tail = "_s7" if any(k.startswith("stage7.") for k in state) else ""
        return {"model": "hrnet_tiny" if width == 16 else f"hrnet_w{width}{tail}", "joints": joints}
    if "deconv_layers.0.weight" in state:
        third = len({k.split(".")[1] for k in state if k.startswith("layer3.")})
        depth = {6: 50, 23: 101, 36: 152}.get(third, third)
        return {"model": f"simple_r{depth}", "joints": joints}
    stacks = len({k.split(".")[1] for k in state if k.startswith("chantojoints.")})
    return {"model": f"hourglass_{stacks}", "joints": joints}
