"""Cut parts on a Ray cluster whose machines share a disk: the pool of one process, byte for byte.

    python examples/ray_parts.py --images photos/ --labels maps/ --scheme lip --out pool.safetensors --tasks 64

Each task cuts its share of the photos; a task that died or was interrupted is run again and goes on where it stopped.
`label_photos` and `pack` take a `shard` in the same way.
"""

import argparse
import os

import ray

from asda_fast.core.shard import Shard, Unfinished
from asda_fast.parts.build import build_pool


@ray.remote(num_cpus=1, max_retries=3)
def cut(index, count, options):
    try:
        report = build_pool(**options, workers=1, shard=Shard(index, count), progress=False)
    except Unfinished:
        return 0
    return report.kept  # the last to finish writes the pool


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("images", "labels", "scheme", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--tasks", type=int, default=8)
    options = vars(parser.parse_args())
    count = options.pop("tasks")
    options |= {name: os.path.abspath(options[name]) for name in ("images", "labels", "out")}
    kept = ray.get([cut.remote(i, count, options) for i in range(count)])
    print(f"{options['out']}: {max(kept)} patches")
