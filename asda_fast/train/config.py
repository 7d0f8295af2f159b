"""What a run is: one frozen dataclass, whose fields are the command line, and the papers' numbers as presets."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from asda_fast.core.errors import UserError

DATASETS = ("demo", "lsp", "mpii", "coco")
PIPELINES = ("dali", "native")
AUGMENTS = ("none", "cutout", "ror", "objects", "sda", "asda")
UPDATES = ("alternate", "joint")
DEVICES = ("auto", "cpu", "cuda")

# Adam 1e-3, dropped tenfold at epochs 170 and 200 of 210, in the paper and in HRNet alike.
PAPER_EPOCHS, PAPER_DROPS = 210, (170, 200)

# Options that may be left out: the help shows their type alone, not "{None}|STR ... (default: None)".
OptionalText = Annotated[str | None, tyro.conf.arg(metavar="STR", help_behavior_hint="")]
OptionalNumber = Annotated[int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="")]
OptionalPath = Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")]
Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]  # --raw, without a --no-raw


@dataclass(frozen=True)
class TrainConfig:
    """Train a pose network against an adversarial generator of pasted body parts (ASDA, ECCV 2020).

    Options that are left out come from the dataset's preset: the paper's numbers for lsp, mpii and coco, and a small
    network that a CPU trains in minutes for demo.
    """

    dataset: str = "demo"
    """demo (embedded, needs nothing) | lsp | mpii | coco"""
    root: OptionalText = None
    """folder of the dataset: photos and annotations as published"""
    pool: OptionalText = None
    """pool of body parts (python -m asda_fast.parts build); demo builds its own on first use"""
    pipeline: str = "dali"
    """dali (GPU decode and warp; CPU operators without a GPU) | native (threads; the fast path without a GPU)"""
    model: OptionalText = None
    """pose network, e.g. hrnet_w32; python -m asda_fast.models lists them [preset]"""
    input: OptionalText = None
    """crop as HxW: 256x192 is 256 high [preset]"""
    augment: str = "asda"
    """what is pasted: none | cutout | ror | objects | sda (random placement) | asda (learned placement)"""
    objects: OptionalText = None
    """folder of RGBA cut-outs for --augment objects"""
    parts: int = 1
    """parts pasted per person (the paper's best is 1)"""
    parts_least: OptionalNumber = None
    """fewest parts, where their number is drawn anew for each person (the paper's Table 5 fixes it) [--parts]"""
    paste_probability: float = 1.0
    """share of the people who get parts at all"""
    part_types: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="STR [STR ...]", help_behavior_hint="")] = None
    """only these part types, e.g. Left-arm Right-arm [all that the pool has]"""
    paste_half_bodies: Flag = False
    """also paste on crops that were narrowed to a half body (the released code does not)"""
    paste_min_joints: int = 0
    """only on people with so many labelled joints (the released code: 8 on COCO)"""
    patch_flip: float = 0.0
    """probability to mirror a patch; left and right stay true"""
    colour_jitter: float = 0.0
    """brightness, contrast and tint of each patch change by up to this share"""
    max_rotation: float = 90.0
    """sda: r is uniform within this many degrees either way"""
    max_shift: float = 1.0
    """sda: tx and ty are uniform within this many half crops either way"""
    scale_range: tuple[float, float] = (0.7, 1.3)
    """sda and asda: s is uniform in this range"""
    update: str = "alternate"
    """asda: alternate (a step of the network, then of the generator, as in the paper) | joint (one forward and one
    backward for both: half the cost)"""
    placement: str = "paper"
    """paper | reference (the released code's conventions, for its checkpoints)"""
    epochs: OptionalNumber = None
    """passes over the data [preset]"""
    drops: Annotated[tuple[int, ...] | None, tyro.conf.arg(metavar="INT [INT ...]", help_behavior_hint="")] = None
    """epochs after which the learning rate falls tenfold [170 200 of 210, in proportion]"""
    batch_size: OptionalNumber = None
    """people per step and process [preset]"""
    lr: float = 1e-3
    """Adam's learning rate, of both networks"""
    seed: int = 0
    """every random draw follows from it"""
    device: str = "auto"
    """auto | cpu | cuda"""
    amp: bool = True
    """bfloat16 autocast (on a GPU only)"""
    compile: bool = False
    """torch.compile the pose network (on a GPU only)"""
    threads: OptionalNumber = None
    """decoding threads [all cores]"""
    on_bad_image: str = "error"
    """error (stop, naming the file) | skip (replace it, count it, say so at the end)"""
    init: OptionalText = None
    """weights to start the pose network from, e.g. an ImageNet HRNet file"""
    generator_init: OptionalText = None
    """weights to start the generator from, e.g. torchvision's ResNet-18 (the paper starts from ImageNet)"""
    limit: OptionalNumber = None
    """use only the first so many people of each split (for a quick look)"""
    save_every: int = 0
    """also checkpoint every so many steps within an epoch [0: at the end of each epoch]"""
    out: OptionalText = None
    """folder of the run [runs/DATASET]"""
    resume: Flag = False
    """go on from the checkpoint in --out; the other options must be those of the run"""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the crop."""
        return parse_size(self.input or "")

    def to_dict(self) -> dict[str, Any]:
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


# Of a run; the papers' own numbers but for demo.
PRESETS: dict[str, dict[str, Any]] = {
    "demo": {"model": "hrnet_tiny", "input": "128x128", "epochs": 12, "batch_size": 16},
    "lsp": {"model": "hrnet_w32", "input": "256x256", "epochs": PAPER_EPOCHS, "batch_size": 32},
    "mpii": {"model": "hrnet_w32", "input": "256x256", "epochs": PAPER_EPOCHS, "batch_size": 32},
    "coco": {"model": "hrnet_w32", "input": "256x192", "epochs": PAPER_EPOCHS, "batch_size": 32},
}

# Keyword arguments of data.plan.GlobalAug. [paper]: MPII and LSP +-30 degrees and 0.75..1.25, COCO +-40 and 0.7..1.3.
GLOBAL_AUG: dict[str, dict[str, Any]] = {
    "demo": {"flip": 0.5, "rotation": 30.0, "scale": 0.25},
    "lsp": {"flip": 0.5, "rotation": 30.0, "scale": 0.25},
    "mpii": {"flip": 0.5, "rotation": 30.0, "scale": 0.25},
    "coco": {"flip": 0.5, "rotation": 40.0, "scale": 0.3, "half_body": 0.3},
}

# What may change when a run goes on: none of it changes what is learned.
_FREE_ON_RESUME = {
    "root",
    "pool",
    "pipeline",
    "device",
    "threads",
    "save_every",
    "out",
    "resume",
    "on_bad_image",
    "init",
    "generator_init",
    "epochs",
    "drops",
    "compile",
}


def parse_size(text: str) -> tuple[int, int]:
    """'256x192' -> (256, 192), height first. Raises UserError unless both are multiples of 32."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match:
        raise UserError(f"--input: expected HxW such as 256x192, got {text!r}")
    height, width = int(match[1]), int(match[2])
    if min(height, width) < 64 or height % 32 or width % 32:
        raise UserError(f"--input: expected multiples of 32 from 64 up, got {text!r}")
    return height, width


def resolve(config: TrainConfig) -> TrainConfig:
    """Fill in the preset, check every option. Raises UserError naming the option, what was expected and what came."""
    for option, allowed in (
        ("dataset", DATASETS),
        ("pipeline", PIPELINES),
        ("augment", AUGMENTS),
        ("update", UPDATES),
        ("device", DEVICES),
        ("placement", ("paper", "reference")),
        ("on_bad_image", ("error", "skip")),
    ):
        value = getattr(config, option)
        if value not in allowed:
            raise UserError(f"--{option.replace('_', '-')}: expected one of {', '.join(allowed)}, got {value!r}")
    preset = PRESETS[config.dataset]
    config = replace(config, **{key: value for key, value in preset.items() if getattr(config, key) is None})
    if config.out is None:
        config = replace(config, out=f"runs/{config.dataset}")
    for option, least in (
        ("epochs", 1),
        ("batch_size", 1),
        ("parts", 0),
        ("threads", 1),
        ("limit", 1),
        ("save_every", 0),
        ("parts_least", 0),
        ("paste_min_joints", 0),
    ):
        value = getattr(config, option)
        if value is not None and value < least:
            raise UserError(f"--{option.replace('_', '-')}: expected at least {least}, got {value}")
    for option in ("paste_probability", "patch_flip"):
        if not 0 <= getattr(config, option) <= 1:
            raise UserError(f"--{option.replace('_', '-')}: expected 0 to 1, got {getattr(config, option)}")
    if not 0 <= config.colour_jitter < 1:
        raise UserError(f"--colour-jitter: expected 0 up to, not including, 1, got {config.colour_jitter}")
    if config.parts == 0 and config.augment in ("sda", "asda"):
        raise UserError(
            f"--parts: expected at least 1 with --augment {config.augment}, got 0 (--augment none pastes nothing)"
        )
    if config.parts_least is not None and config.parts_least > config.parts:
        raise UserError(f"--parts-least: expected at most --parts {config.parts}, got {config.parts_least}")
    if not 0 < config.scale_range[0] <= config.scale_range[1]:
        raise UserError(f"--scale-range: expected 0 < low <= high, got {config.scale_range}")
    if not config.lr > 0:
        raise UserError(f"--lr: expected a positive number, got {config.lr}")
    if config.drops is None:
        assert config.epochs is not None
        config = replace(config, drops=tuple(round(config.epochs * drop / PAPER_EPOCHS) for drop in PAPER_DROPS))
    if config.root is None and config.dataset != "demo":
        raise UserError(f"--root: --dataset {config.dataset} needs the folder that holds it")
    if config.max_rotation < 0 or config.max_shift < 0:
        raise UserError(
            f"--max-rotation, --max-shift: expected 0 or more, got {config.max_rotation}, {config.max_shift}"
        )
    parse_size(config.input or "")
    return config


def check_resumable(given: TrainConfig, now: TrainConfig, saved: dict[str, Any]) -> TrainConfig:
    """The configuration to go on with: `now`, which is `given` resolved, with the saved run's schedule unless another
    is given. Raises UserError at the first option that would make it another run."""
    for field in fields(now):
        if field.name in _FREE_ON_RESUME or field.name not in saved:
            continue
        before, after = saved[field.name], now.to_dict()[field.name]
        if before != after:
            raise UserError(
                f"--resume: the run in {now.out} has --{field.name.replace('_', '-')} {before}, not {after}"
            )
    return replace(
        now,
        epochs=saved["epochs"] if given.epochs is None else given.epochs,
        drops=tuple(saved["drops"] if given.drops is None else given.drops),
    )
