"""python -m benchmarks.judged: for how many people, and how many proposals each, a critic's choice is worth judging.

    python -m benchmarks.game --only random --seeds 0 --steps 500 --root DATA/lspet --pool pool.safetensors --out runs/D
    python -m benchmarks.judged --weights runs/D/random.0.safetensors --root DATA/lspet --pool pool.safetensors

A critic learns against a network that stays as it is; then its places for held-out people are measured with every
number of proposals and share of people that are judged. Passes: forward passes of the network beyond a plain step.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path

import torch
from torch import Tensor

from asda_fast import data, models
from asda_fast.adversary import Critic, Scene, held_out
from asda_fast.adversary.hardness import DRAWS, losses_of, summarise
from asda_fast.augment import build
from asda_fast.data import GlobalAug
from asda_fast.ops import PasteFormat
from asda_fast.parts.pool import PartPool
from asda_fast.pipelines.loader import make_loader
from benchmarks.common import Report, parser

WAYS = ((1, 1.0), (2, 0.5), (4, 0.25), (2, 0.75), (4, 0.375), (2, 1.0), (4, 0.5), (4, 0.625), (4, 1.0))  # verify, share


def rows_of(scene: Scene, critic: Critic) -> dict[tuple[int, float], Tensor]:
    """The losses of hardness.losses_of for each way: the random places, which are the same, are judged once."""
    pasted = (scene.slots.part >= 0).any(1)
    common = losses_of(scene, None, DRAWS)
    found = {}
    for way in WAYS:
        critic.verify, critic.share = way
        chosen = scene.judge(critic.choose(scene, explore=False).theta).mean(1)[pasted].double().cpu()
        found[way] = torch.cat((common[:, :4], chosen[:, None]), 1)
    return found


def main() -> None:
    p = parser(__doc__ or "")
    p.add_argument("--weights", type=Path, required=True, help="of the pose network D (benchmarks.game writes them)")
    p.add_argument("--root", type=Path, required=True, help="LSP-extended")
    p.add_argument("--pool", type=Path, required=True)
    p.add_argument("--size", type=int, default=96)
    p.add_argument("--lessons", type=int, default=200, help="batches of 32 people that the critic learns from")
    options = p.parse_args()
    torch.set_num_threads(options.threads or torch.get_num_threads())
    train, val = (data.load("lsp", options.root, split=split) for split in ("train", "val"))
    pool, size = PartPool.load(options.pool), (options.size, options.size)
    augmentation = build("asda", pool, paste_format=PasteFormat(channels_last=True))
    pose = models.load(options.weights).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    skeleton = train.skeleton
    critic = Critic(len(pool.types), len(skeleton.joints), skeleton.edges, candidates=64, verify=2, reduced=False)
    with make_loader(train, size, batch_size=32, train=True, aug=GlobalAug(), threads=1) as loader:
        lessons = ((batch, epoch) for epoch in count() for batch in loader)
        for _, (batch, epoch) in zip(range(options.lessons), lessons):
            scene = Scene.of(batch, augmentation, pose, epoch)
            critic.learn(scene, critic.choose(scene, explore=True), torch.zeros_like(scene.weight))
    tables: dict[tuple[int, float], list[Tensor]] = {way: [] for way in WAYS}
    with make_loader(val, size, batch_size=32, train=False, threads=1) as loader:
        for scene in held_out(loader, augmentation, pose):
            for way, rows in rows_of(scene, critic).items():
                tables[way].append(rows)
    report = Report(threads=options.threads)
    for (verify, share), parts in tables.items():
        found = summarise(torch.cat(parts), DRAWS)
        passes = 0.0 if verify == 1 else verify * share
        params = {"size": options.size, "lessons": options.lessons, "people": found.people, "share judged": share}
        report.add(f"critic, verify {verify}", {**params, "passes": passes, "se": round(found.s_se, 4)}, "s", found.s)
        print(
            f"verify {verify}, share {share:5.3f}: passes {passes:4.2f}  s {found.s:.3f} +- {found.s_se:.3f}",
            flush=True,
        )
    if options.json:
        report.save(options.json)


if __name__ == "__main__":
    main()
