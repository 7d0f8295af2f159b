"""What a run is: the Recipe says what is learnt, and is compared on resume; RunOptions say how, and are free to change.

Nothing here imports torch: the command line is made from these fields and must answer `--help` at once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from asda_fast.adversary.options import AdversaryOptions
from asda_fast.augment import AUGMENTATIONS
from asda_fast.augment.options import PasteOptions
from asda_fast.core.errors import UserError
from asda_fast.core.options import CROP, Above, AtLeast, Between, Size, check, keyword_values, parse_size, size_text
from asda_fast.data import DATASETS
from asda_fast.data.custom import Files
from asda_fast.data.dataset import dataset
from asda_fast.data.global_options import GlobalOptions
from asda_fast.models import NETWORKS
from asda_fast.pipelines import PIPELINES
from asda_fast.train.optimisation import OptimisationOptions

if TYPE_CHECKING:
    from asda_fast.models.network import Training

# Adam 1e-3, dropped tenfold at epochs 170 and 200 of 210, in the paper and in HRNet alike.
PAPER_EPOCHS, PAPER_DROPS = 210, (170, 200)
# The options of a Recipe that are records of their own; in its flat form their fields stand beside its others.
GROUPS: dict[str, type] = {
    "crop": GlobalOptions,
    "paste": PasteOptions,
    "game": AdversaryOptions,
    "optimisation": OptimisationOptions,
}


@dataclass(frozen=True)
class Recipe:
    """What is learnt. What is left out comes from the dataset's preset (`resolved`): the paper's numbers for lsp, mpii
    and coco, and a small network that a CPU trains in minutes for demo."""

    dataset: Annotated[str, DATASETS] = "demo"
    """demo (embedded, needs nothing) | lsp | mpii | coco | custom (with --train-annotations) | module:DATASET of your
    own"""
    model: Annotated[str | None, NETWORKS] = None
    """pose network, e.g. hrnet_w32 (asda-fast networks lists them) | timm:NAME, a backbone of timm's with
    SimpleBaseline's head | module:make of your own [preset]"""
    model_options: tuple[str, ...] = ()
    """NAME=VALUE options for the network's maker"""
    input: Annotated[Size | None, CROP] = None
    """crop as HxW: 256x192 is 256 high [preset]"""
    target: Literal["hrnet", "udp", "simcc"] | None = None
    """what joints are for the network: hrnet (heatmaps, rounded to a pixel of theirs) | udp (heatmaps without that
    bias, as ViTPose's) | simcc (classes of x and of y, of a network with that head) [the network's own]"""
    crop: GlobalOptions = field(default_factory=GlobalOptions)
    paste: PasteOptions = field(default_factory=PasteOptions)
    game: AdversaryOptions = field(default_factory=AdversaryOptions)
    update: Literal["alternate", "joint"] = "alternate"
    """generator: alternate (a step of the network, then of the generator, as in the paper) | joint (one forward and one
    backward for both: about 0.7 of the cost)"""
    generator_input: Literal["full", "half"] = "full"
    """resolution at which the generator sees the crop: full, as in the paper | half (a quarter of its arithmetic)"""
    generator_width: Annotated[int | None, AtLeast(8)] = None  # on narrower ones torch's CPU kernels write astray
    """planes of the generator's first layer [16 beside hrnet_tiny, else 64, which ImageNet's ResNet-18 fits]"""
    generator_drops: bool = True
    """the generator's learning rate falls with the network's; without: it never does, as in the released code"""
    epochs: Annotated[int | None, AtLeast(1)] = None
    """passes over the data [preset]"""
    drops: tuple[int, ...] | None = None
    """epochs after which the learning rate falls tenfold [170 200 of 210, in proportion]"""
    batch_size: Annotated[int | None, AtLeast(1)] = None
    """people per step and process [preset]"""
    lr: Annotated[float | None, Above(0)] = None
    """learning rate, of both networks [the network's, else the paper's 0.001]"""
    optimisation: OptimisationOptions = field(default_factory=OptimisationOptions)
    seed: Annotated[int, Between(-(2**63), 2**63 - 1)] = 0
    """every random draw follows from it"""
    amp: bool = True
    """bfloat16 autocast (on a GPU only)"""
    sync_bn: bool = False
    """batch norms of both networks count the batches of all processes together (on GPUs only)"""
    limit: Annotated[int | None, AtLeast(1)] = None
    """use only the first so many people of each split (for a quick look)"""
    train_people: Annotated[int | None, AtLeast(1)] = None
    """learn from the first N people only, in the files' order; with --limit the validation is cut too, with this not
    [all of them]"""

    def __post_init__(self) -> None:
        check(self)
        keyword_values(self.model_options, "model_options")
        if self.drops is not None and (min(self.drops, default=1) < 1 or list(self.drops) != sorted(self.drops)):
            raise UserError(f"drops: expected epochs from 1 in rising order, got {' '.join(map(str, self.drops))}")
        if self.game.pairs and (self.batch_size or 2) % 2:
            raise UserError(f"batch_size: expected an even number beside pairs, got {self.batch_size}")
        if self.game.adversary != "generator" and self.paste.augment in AUGMENTATIONS and self.paste.augment != "asda":
            raise UserError(f"adversary: {self.game.adversary} needs augment asda, got {self.paste.augment}")
        if self.game.solvable and self.optimisation.ema is None:
            raise UserError("solvable: expected ema beside it, the mean of the weights that is the teacher, got none")

    def resolved(self) -> Recipe:
        """With everything that was left out filled in from the dataset's preset."""
        preset = dataset(self.dataset).preset
        epochs, model = self.epochs or preset.epochs, self.model or preset.model
        training = training_of(model)
        usual = tuple(round(epochs * drop / PAPER_EPOCHS) for drop in PAPER_DROPS)
        return replace(
            self,
            model=model,
            input=self.input or preset.size,
            crop=self.crop.resolved(preset.aug),
            epochs=epochs,
            drops=usual if self.drops is None else self.drops,
            batch_size=self.batch_size or preset.batch_size,
            lr=training.lr if self.lr is None else self.lr,
            optimisation=self.optimisation.resolved(training),
        )

    @property
    def people_a_step(self) -> int:
        """Of a process: the batch, or half of it where everybody is there twice."""
        assert self.batch_size is not None
        return self.batch_size // 2 if self.game.pairs else self.batch_size

    @property
    def train_first(self) -> int | None:
        """Of so many people, the first, it learns; None: of all."""
        return min((count for count in (self.limit, self.train_people) if count is not None), default=None)

    def to_dict(self) -> dict[str, Any]:
        """Flat and plain, as a checkpoint keeps it."""
        flat = asdict(self)
        for group in GROUPS:
            flat |= flat.pop(group)
        flat["input"] = None if self.input is None else size_text(self.input)
        flat["options"] = keyword_values(self.model_options, "model_options")  # how a file is made a network
        return {key: list(value) if isinstance(value, tuple) else value for key, value in flat.items()}

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Recipe:
        """The recipe of a checkpoint, also of an older one: what it does not say is as it is by default."""

        def chosen(kind: type) -> dict[str, Any]:
            names = {f.name for f in fields(kind)} - set(GROUPS)
            return {k: tuple(v) if isinstance(v, list) else v for k, v in saved.items() if k in names}

        own = chosen(cls)
        if isinstance(own.get("input"), str):
            own["input"] = parse_size(own["input"])
        return cls(**own, **{name: kind(**chosen(kind)) for name, kind in GROUPS.items()})

    def continuing(self, given: Recipe, saved: dict[str, Any], where: str) -> Recipe:
        """This recipe (`given`, resolved) as the one to go on with: with the saved run's schedule unless another was
        given. UserError at the first option that would make it another run."""
        before = Recipe.from_dict(saved).resolved().to_dict()  # of an older one also what it did not say
        for name, now in self.to_dict().items():
            if name in ("epochs", "drops"):
                continue
            if before[name] != now:
                raise UserError(f"resume: the run in {where} has {name} {before[name]}, not {now}")
        return replace(
            self,
            epochs=saved["epochs"] if given.epochs is None else given.epochs,
            drops=tuple(saved["drops"] if given.drops is None else given.drops),
        )


def schedule_kept(now: Recipe, given: Recipe, saved: dict[str, Any]) -> str | None:
    """What to say where a run goes on for another number of epochs with the drops of its beginning."""
    usual = replace(given, epochs=now.epochs).resolved().drops
    if given.drops is not None or now.epochs == saved["epochs"] or now.drops == usual:
        return None
    kept, other = (" ".join(map(str, drops or ())) for drops in (now.drops, usual))
    return f"drops stay at {kept}, those of {saved['epochs']} epochs; the usual of {now.epochs}: drops {other}"


def training_of(model: str) -> Training:
    """How the network's authors trained it; the paper's way where they say nothing. Imports the network's file."""
    from asda_fast.models.network import Network, Training

    thing = NETWORKS.load(model)
    return thing.training if isinstance(thing, Network) else Training()


@dataclass(frozen=True)
class RunOptions:
    """How and where it is learnt; none of it changes what is learnt."""

    root: str | None = None
    """folder of the dataset: photos and annotations as published"""
    files: Files = field(default_factory=Files)
    pool: str | None = None
    """pool of body parts (asda-fast parts build); demo builds its own on first use"""
    pipeline: Annotated[str, PIPELINES] = "dali"
    """dali (GPU decode and warp; CPU operators without a GPU) | native (threads; the fast path without a GPU)"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where the networks run"""
    compile: bool = False
    """torch.compile the pose network (on a GPU only)"""
    cuda_graph: Literal["auto", "off"] = "auto"
    """auto (the training step as one CUDA graph, checked against the step without; a line says where it does not hold)
    | off"""
    threads: Annotated[int | None, Between(1, 1024)] = None
    """decoding threads of each process [its share of the cores]"""
    on_bad_image: Literal["error", "skip"] = "error"
    """error (stop, naming the file) | skip (replace it, count it, say so at the end)"""
    init: str | None = None
    """weights to start the pose network from, e.g. an ImageNet HRNet file"""
    within: str | None = None
    """which network, where --init holds several: a word of its place, e.g. student"""
    random_body: bool = False
    """take an --init that lacks part of the network's body, which then starts at random"""
    generator_init: str | None = None
    """weights to start the generator from, e.g. torchvision's ResNet-18 (the paper starts from ImageNet)"""
    hardness_people: Annotated[int, AtLeast(0)] = 64
    """validation people on whom it is measured after each epoch how hard the adversary's places are, by 35 forward
    passes each [0: not measured]"""
    hardness_seconds: Annotated[float | None, Above(0)] = None
    """end that measurement with the batch in which so much time is over: of fewer people, and not repeatable to the bit
    [no limit]"""
    save_every: Annotated[int, AtLeast(0)] = 0
    """also checkpoint every so many steps within an epoch [0: at the end of each epoch]"""
    validate_every: Annotated[int, AtLeast(1)] = 1
    """look at the validation people after every so many epochs and after the last; best.safetensors is the best of
    those"""
    log: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ("tensorboard",)
    """who is told the numbers and contact sheets of each epoch, beside metrics.jsonl: tensorboard | wandb | mlflow"""
    out: str | None = None
    """folder of the run [runs/DATASET; ablate: runs/ablate-DATASET, with a folder for each run]"""
    resume: bool = False
    """go on from the checkpoint in --out, or begin where none is yet; what is learnt must be the same"""

    def __post_init__(self) -> None:
        check(self)
        if self.hardness_people == 1:  # its error is one over people
            raise UserError("hardness_people: expected 0 or at least 2, got 1")
