"""The paste op against its peers: the reference in plain torch (eager and compiled), kornia, and the copy of one batch.

    python -m benchmarks.paste --device cpu --threads 2 --json benchmarks/results/paste-amd-epyc-2threads.json

Parts of 40..120 px, scale 0.7..1.3, any rotation, centres anywhere in the image. `forward` runs without autograd;
`both` is forward + backward to the matrices, `both+image` to matrices and image; `backward` is the way back alone.

On a GPU (`--device cuda`) it is time on the device beside a copy of the same bytes (paste_gpu.py), within a minute;
`--peers` adds the peers, timed by queues of calls, Python included.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asda_fast.ops.paste_reference import normalise
from benchmarks import paste_gpu, paste_launch
from benchmarks.common import Report, Timing, interleave, parser, peak_memory
from benchmarks.paste_cases import MEAN, STD, Case, check, contestants


def has_kornia() -> bool:
    try:
        import kornia.geometry.transform  # noqa: F401
    except ImportError:
        return False
    return True


def main() -> None:
    cli = parser("Benchmark asda_fast.paste")
    cli.add_argument("--batches", default=None, help="comma-separated; default 32 on a CPU, 32,128 on a GPU")
    cli.add_argument("--sizes", default=None, help="HEIGHTxWIDTH, comma-separated; default 256x256, 256x192 on a CPU")
    cli.add_argument("--parts", default=None, help="per image, comma-separated; default 1,2,3,8, on a GPU 0,1,3,8")
    cli.add_argument("--peers", action="store_true", help="on a GPU: the peers as well")
    cli.add_argument("--dtypes", default="fp32,bf16,uint8", help="comma-separated")
    cli.add_argument("--no-compile", action="store_true", help="leave the compiled reference out")
    cli.add_argument("--seconds", type=float, default=3.0, help="time per row of contestants")
    cli.add_argument("--launch-cost", action="store_true", help="only what a call on a GPU costs Python (needs none)")
    options = cli.parse_args()
    if options.launch_cost:
        launch_cost(options.json)
        return
    if options.threads:
        torch.set_num_threads(options.threads)
    device = options.device
    batches = options.batches or ("32" if device == "cpu" else "32,128")
    report = Report(torch.get_num_threads(), device)
    if device != "cpu":
        sizes = [(int(h), int(w)) for h, w in (s.split("x") for s in (options.sizes or "256x256").split(","))]
        parts = [int(n) for n in (options.parts or "0,1,3,8").split(",")]
        for line in paste_gpu.measure(report, [int(b) for b in batches.split(",")], sizes, parts, device):
            print(line, flush=True)
            if options.json:  # a run that is cut short keeps what it measured
                report.save(options.json)
        if not options.peers:
            _save(report, options.json)
            return
    options.sizes, options.parts = options.sizes or "256x256,256x192", options.parts or "1,2,3,8"
    if options.quick:
        batches, options.sizes, options.parts, options.dtypes, options.no_compile = "32", "256x256", "1,3", "fp32", True
        options.seconds = 1.0
    kornia = has_kornia()
    if not kornia:
        print("kornia: not installed, left out (pip install --no-deps kornia kornia_rs)")
    for batch in map(int, batches.split(",")):
        for size in ([int(v) for v in s.split("x")] for s in options.sizes.split(",")):
            for dtype in options.dtypes.split(","):
                limits(report, batch, size, dtype, device)
                # Compiling one graph takes up to a minute, and the peers take seconds per call on a CPU: everything is
                # measured only where the targets are stated.
                full = dtype == "fp32" and batch == 32 and size == [256, 256]
                for parts in map(int, options.parts.split(",")):
                    if full or device != "cpu" or parts != 2:
                        case = Case(batch, (size[0], size[1]), parts, dtype, device)
                        params = {"batch": batch, "size": f"{size[0]}x{size[1]}", "dtype": dtype, "parts": parts}
                        few = full and parts in (1, 3)
                        peers = contestants(case, few and not options.no_compile, few and kornia)
                        one_case(report, params, case, peers, full or device != "cpu", device, options.seconds)
    _save(report, options.json)


def _save(report: Report, path: Path | None) -> None:
    if path:
        report.save(path)
        print(f"wrote {path.name}")


def launch_cost(path: Path | None) -> None:
    report = Report(1)
    for name, micro in paste_launch.measure().items():
        report.add(name, {"mode": "launch cost"}, "us", micro)
        print(f"{name:36} {micro:7.1f} us")
    _save(report, path)


def limits(report: Report, batch: int, size: list[int], dtype: str, device: str) -> None:
    """What no paste can beat, or what one would do anyway: copies of the batch, the plain uint8 conversion."""
    case = Case(batch, (size[0], size[1]), 0, dtype, device)
    target = torch.empty_like(case.image)
    if dtype == "uint8":
        mean, std = torch.tensor(MEAN).view(1, 3, 1, 1).to(device), torch.tensor(STD).view(1, 3, 1, 1).to(device)
        calls = {
            "torch (x / 255 - mean) / std": lambda: (case.bytes.permute(0, 3, 1, 2).float() / 255 - mean) / std,
            "torch in place": lambda: normalise(case.bytes, MEAN, STD),
        }
    else:
        calls = {"image.clone()": case.image.clone, "copy into a kept buffer": lambda: target.copy_(case.image)}
    params = {"batch": batch, "size": f"{size[0]}x{size[1]}", "dtype": dtype}
    for name, timing in interleave(calls, seconds=2, device=device).items():
        report.add(name, {**params, "mode": "limit"}, "ms", timing)
        print(f"{_label(params)}  limit       {name:30} {timing.median:9.3f} ms  (iqr {timing.iqr:.3f})")


def one_case(
    report: Report,
    params: dict[str, Any],
    case: Case,
    peers: dict[str, Callable[[Tensor], Tensor]],
    full: bool,
    device: str,
    seconds: float,
) -> None:
    check(case, peers)
    modes = {name: case.modes(call) for name, call in peers.items()}
    for mode in modes["asda_fast"] if full else ("forward", "both"):
        calls = {name: calls[mode] for name, calls in modes.items()}
        if mode == "forward":  # in the same rounds, so that both meet the same state of machine and allocator
            if params["dtype"] == "uint8":
                calls["torch uint8 to float"] = lambda: normalise(case.bytes, MEAN, STD)
            else:
                calls["image.clone()"] = case.image.clone
        timings = interleave(calls, seconds=seconds, rounds=60, device=device)
        for name, timing in timings.items():
            report.add(name, {**params, "mode": mode}, "ms", timing)
            _print(params, mode, name, timing, timings["asda_fast"])
        if mode == "both":
            for name in ("asda_fast", "reference"):
                peak = peak_memory(calls[name], device)
                report.add(name, {**params, "mode": "peak memory of both"}, "MiB", peak)
                print(f"{_label(params)}  {mode:10}  {name:30} {peak:9.1f} MiB peak")


def _label(params: dict[str, Any]) -> str:
    return f"B={params['batch']:<4}{params['size']:8}{params['dtype']:6}N={params.get('parts', '-')!s:2}"


def _print(params: dict[str, Any], mode: str, name: str, timing: Timing, ours: Timing) -> None:
    ratio = "" if name == "asda_fast" else f"{timing.median / ours.median:7.2f}x ours"
    print(f"{_label(params)}  {mode:10}  {name:30} {timing.median:9.3f} ms  (iqr {timing.iqr:.3f}) {ratio}", flush=True)


if __name__ == "__main__":
    main()
