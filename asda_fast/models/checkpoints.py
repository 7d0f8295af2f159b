"""Files of weights, read without executing anything in them, and our own kind written: safetensors that name their
network. What the tensors of other people's files mean is for `foreign`, how they get into a network for `weights`."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asda_fast.core.errors import UserError, short
from asda_fast.core.files import write_atomic
from asda_fast.models.coding import KINDS
from asda_fast.models.frozen import bare
from asda_fast.models.network import State, shorten

FORMAT = "asda_fast-1"  # of a network's file
STATE_FORMAT = 1  # of a training run's last.pt
DEEPEST = 5  # dictionaries in dictionaries


@dataclass
class Checkpoint:
    """What a file holds."""

    path: Path
    states: dict[str, State]  # every dictionary of tensors by its place in the file: "", "state_dict", "a.b", ..
    config: dict[str, Any] | None = None  # of our own files: "model", "joints", perhaps "options", "dataset", "input"


def read(path: str | Path, part: str = "pose", mean: bool = True) -> Checkpoint:
    """The tensors of a checkpoint, and the configuration that `save` or a training run wrote.

    part: "pose" or "generator", of a training run's file, which holds both; mean: of the pose network's weights their
    mean, where the run kept one. Raises UserError for a file that cannot be read without executing it, or that holds no
    tensors.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: is a folder; of a run's files best.safetensors and last.pt are checkpoints")
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint")
    if path.suffix == ".safetensors":
        return _safetensors(path)
    with _plain_data(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pickle's protocols: nothing that a user could mend
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises half a dozen kinds for a damaged or unsafe file
            why = " ".join((str(error) or type(error).__name__).splitlines()[:1])[:160]
            if why.isdigit():  # a key that torch's reader did not know
                why = "no file of torch's"
            if "weights only" in why.lower() or "weights_only" in why:
                why = "it holds other Python objects than tensors and plain values, which are never executed"
            raise UserError(f"{path}: not a checkpoint that can be read safely ({why})") from None
    config = _run_config(path, content)
    if config is not None:
        held, average = content.get(part), content.get("average")
        if mean and part == "pose" and isinstance(average, Mapping) and isinstance(average.get("weights"), Mapping):
            held = average["weights"]  # what the run evaluates
        states = {"": _tensors(held)} if isinstance(held, Mapping) else {}
    else:
        states = dict(_walk(content, "", DEEPEST))
    if not any(states.values()):
        keys = shorten(map(str, content), 6) if isinstance(content, Mapping) else type(content).__name__
        raise UserError(f"{path}: expected weights of a {part} network, found {keys or 'nothing'}")
    return Checkpoint(path, states, config)


def _safetensors(path: Path) -> Checkpoint:
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            card = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except Exception as error:  # SafetensorError, and torch's own where a type is unknown to it
        raise UserError(f"{path}: not a readable safetensors file ({error})") from None
    if not state:
        raise UserError(f"{path}: expected weights of a network, found nothing")
    config, made = None, card.get("format", "")
    if made.startswith("asda_fast-") and made != FORMAT:  # read as a stranger's it would lose its joints and its input
        raise UserError(f"{path}: expected format {FORMAT}, found {short(made)}: of another version of asda_fast")
    if made == FORMAT:
        try:
            config = json.loads(card["config"])
        except (KeyError, ValueError):
            raise UserError(f"{path}: its configuration is damaged") from None
        _check_config(path, config)
    return Checkpoint(path, {"": state}, config)


def _walk(content: Any, place: str, depth: int) -> Iterator[tuple[str, State]]:
    """(place, tensors) of every dictionary in `content`."""
    if not isinstance(content, Mapping) or depth == 0:
        return
    tensors = _tensors(content)
    if tensors:
        yield place, tensors
    for key, value in content.items():
        yield from _walk(value, f"{place}.{key}" if place else str(key), depth - 1)


def _tensors(content: Mapping[Any, Any]) -> State:
    return {str(k): v for k, v in content.items() if isinstance(v, Tensor) and v.layout == torch.strided}


def _run_config(path: Path, content: Any) -> dict[str, Any] | None:
    """What a training run's last.pt says of its network; None for other files."""
    config = content.get("config") if isinstance(content, dict) else None
    if not isinstance(config, dict) or "model" not in config or not {"joints", "pose"} <= content.keys():
        return None
    if content.get("format", STATE_FORMAT) != STATE_FORMAT:
        came = short(content["format"])
        raise UserError(f"{path}: expected a run's state of format {STATE_FORMAT}, found {came}: of another version")
    found = {"joints": content["joints"]}
    found |= {k: config[k] for k in ("model", "options", "dataset", "input", "target") if config.get(k) is not None}
    found |= {k: content[k] for k in ("joint_names", "skeleton", "types", "pool") if content.get(k) is not None}
    if config.get("generator_input") == "half":  # else the paper's
        found["generator_input"] = "half"
    _check_config(path, found)
    return found


def _check_config(path: Path, config: Any) -> None:
    if not isinstance(config, dict):
        raise UserError(f"{path}: its configuration is damaged: expected an object, got {type(config).__name__}")
    for name, kind, wanted in (("model", str, "a name"), ("joints", int, "a number"), ("options", dict, "an object")):
        if not isinstance(config.get(name, {} if name == "options" else None), kind):
            came = short(config.get(name))
            raise UserError(f"{path}: its configuration is damaged: {name}: expected {wanted}, got {came}")
    if not isinstance(config.get("dataset"), (str, type(None))):
        came = short(config["dataset"])
        raise UserError(f"{path}: its configuration is damaged: dataset: expected a name, got {came}")
    if config.get("input") is not None and size_of({"input": config["input"]}) is None:
        came = short(config["input"])
        raise UserError(f"{path}: its configuration is damaged: input: expected HxW such as 256x192, got {came}")
    names = config.get("joint_names")
    if names is not None and not (
        isinstance(names, (list, tuple))
        and len(names) == config["joints"]
        and all(isinstance(name, str) for name in names)
    ):
        wanted = f"{config['joints']} names"
        raise UserError(f"{path}: its configuration is damaged: joint_names: expected {wanted}, got {short(names)}")
    if config.get("target") not in (None, *KINDS):
        came = short(config["target"])
        raise UserError(f"{path}: its configuration is damaged: target: expected one of {', '.join(KINDS)}, got {came}")


def size_of(config: Mapping[str, Any]) -> tuple[int, int] | None:
    """(height, width) of the crops that a file of ours was made for; None where it does not say."""
    for value in ((config.get("options") or {}).get("size"), config.get("input")):
        found = re.fullmatch(r"(\d+)x(\d+)", value) if isinstance(value, str) else None
        if found:
            return int(found[1]), int(found[2])
        if isinstance(value, (list, tuple)) and len(value) == 2 and all(type(side) is int for side in value):
            return value[0], value[1]
    return None


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


def save(path: str | Path, model: nn.Module, config: dict[str, Any]) -> Path:
    """Write the weights as safetensors and `config` beside them as JSON (also inside the file, which is what `load`
    reads, so that a lost neighbour does no harm).

    config: plain JSON; "model" (a name of the registry or "my.module:make") and "joints" are what `load` needs,
    "options" go to `build`.
    """
    from safetensors.torch import save as serialise

    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"path: expected a name that ends in .safetensors, got {str(path)!r}")
    for name in ("model", "joints"):
        if name not in config:
            raise ValueError(f"config: expected a key {name!r}")
    _check_config(path, config)
    try:
        text = json.dumps(config, indent=2)
    except TypeError as error:
        raise ValueError(f"config: expected plain JSON: {error}") from None
    # As the network itself calls them, not what it was wrapped into (torch.compile, DataParallel).
    state = bare(getattr(model, "_orig_mod", model)).state_dict()
    tensors = {k: v.detach().cpu().contiguous() for k, v in state.items()}
    _check_joints(tensors, config)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, serialise(_apart(tensors), metadata={"format": FORMAT, "config": text}))
    write_atomic(path.with_suffix(".json"), f"{text}\n".encode())
    return path


def _check_joints(state: State, config: dict[str, Any]) -> None:
    """ValueError where a built-in network has another number of joints than `config` says."""
    from asda_fast.models import NETWORKS

    if config["model"] in NETWORKS:
        adapter = NETWORKS.load(config["model"]).adapt
        told = adapter.read(state).build if adapter is not None else None
        if told is not None and told["joints"] != config["joints"]:
            raise ValueError(f"config: says {config['joints']} joints, the network has {told['joints']}")


def _apart(state: State) -> State:
    """Tensors that share memory (tied weights) as copies of their own: safetensors refuses the others."""
    seen: set[int] = set()
    apart = {}
    for key, tensor in state.items():
        where = tensor.untyped_storage().data_ptr()
        apart[key] = tensor.clone() if where in seen else tensor
        seen.add(where)
    return apart
