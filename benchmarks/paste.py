"""The paste op against its peers: the reference in plain torch (eager and compiled), kornia, and the copy of one batch.

    python -m benchmarks.paste --device cpu --threads 2 --json benchmarks/results/paste-amd-epyc-2threads.json

Parts of 40..120 px, scale 0.7..1.3, any rotation, centres anywhere in the image. `forward` runs without autograd;
`both` is forward + backward to the matrices, `both+image` to matrices and image; `backward` is the way back alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asda_fast.ops import paste
from asda_fast.ops.paste_reference import normalise, stack
from asda_fast.ops.paste_reference import paste as reference
from asda_fast.parts.pool import PartPool
from benchmarks import paste_launch
from benchmarks.common import Report, Timing, interleave, parser, peak_memory

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "uint8": torch.uint8}


def make_pool(patches: int = 64, low: int = 40, high: int = 120) -> PartPool:
    """Random textures in soft ellipses: opaque inside, as a cut-out part is."""
    rng = np.random.default_rng(0)
    out = []
    for h, w in rng.integers(low, high + 1, (patches, 2)):
        y, x = np.mgrid[:h, :w]
        radius = np.hypot((y + 0.5) / h * 2 - 1, (x + 0.5) / w * 2 - 1)
        alpha = np.clip((1 - radius) * 12, 0, 1) * 255
        out.append(np.dstack([rng.integers(0, 256, (h, w, 3)), alpha]).astype(np.uint8))
    return PartPool.from_patches(out)


def make_slots(pool: PartPool, batch: int, parts: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """part [B, N] and matrix [B, N, 2, 3]."""
    rng = torch.Generator().manual_seed(1)
    part = torch.randint(0, len(pool), (batch, parts), generator=rng)
    scale = 0.7 + 0.6 * torch.rand(batch, parts, generator=rng)
    turn = (2 * torch.rand(batch, parts, generator=rng) - 1) * math.pi
    centre = torch.rand(batch, parts, 2, generator=rng) * torch.tensor([width, height])
    linear = torch.stack([turn.cos(), turn.sin(), -turn.sin(), turn.cos()], -1).view(batch, parts, 2, 2)
    linear = linear / scale[..., None, None]
    middle = pool.size.cpu()[part].flip(-1) / 2
    shift = middle - (linear @ centre[..., None])[..., 0]
    return part, torch.cat([linear, shift[..., None]], -1)


class Case:
    """One problem, and every contestant's way to do it."""

    def __init__(self, batch: int, size: tuple[int, int], parts: int, dtype: str, device: str) -> None:
        pool = make_pool()
        height, width = size
        self.pool = pool.to(device)
        self.bytes = torch.randint(0, 256, (batch, height, width, 3), dtype=torch.uint8, device=device)
        self.out_dtype = torch.float32 if dtype == "uint8" else DTYPES[dtype]
        if dtype == "uint8":
            self.image = self.bytes
        else:
            self.image = normalise(self.bytes, MEAN, STD).to(self.out_dtype)
        part, matrix = make_slots(pool, batch, parts, height, width)
        self.part, self.matrix = part.to(device), matrix.to(device).requires_grad_()
        self.patches = stack(self.pool, self.out_dtype)[0]
        self.v_out = torch.randn((batch, 3, height, width), device=device).to(self.out_dtype)

    def ours(self, image: Tensor) -> Tensor:
        return paste(image, self.pool, self.part, self.matrix, MEAN, STD)

    def reference(self, image: Tensor) -> Tensor:
        if image.dtype == torch.uint8:
            image = normalise(image, MEAN, STD)
        return reference(image, self.patches, self.part, self.matrix, MEAN, STD)

    def kornia(self, image: Tensor) -> Tensor:
        """warp_affine (which takes the inverse of what it applies, and pixel centres at integers) + blend."""
        from kornia.geometry.transform import warp_affine

        if image.dtype == torch.uint8:
            image = normalise(image, MEAN, STD)
        mean = torch.tensor(MEAN, device=image.device).view(1, 3, 1, 1).to(image.dtype)
        std = torch.tensor(STD, device=image.device).view(1, 3, 1, 1).to(image.dtype)
        last = torch.tensor([0.0, 0, 1], device=image.device).expand(image.shape[0], 1, 3)
        half = torch.tensor([[1.0, 0, 0.5], [0, 1, 0.5], [0, 0, 1]], device=image.device)
        for n in range(self.part.shape[1]):
            full = torch.cat([self.matrix[:, n], last], 1)
            forward = torch.linalg.inv(torch.linalg.inv(half) @ full @ half)[:, :2].to(image.dtype)
            rgba = warp_affine(self.patches[self.part[:, n]], forward, tuple(image.shape[2:]), align_corners=True)
            alpha = rgba[:, 3:]
            image = image * (1 - alpha) + (rgba[:, :3] - alpha * mean) / std
        return image

    def modes(self, call: Callable[[Tensor], Tensor]) -> dict[str, Callable[[], Any]]:
        """mode -> what is timed, for one contestant."""
        leaf = self.image.clone().requires_grad_() if self.image.is_floating_point() else None

        def forward() -> Tensor:
            with torch.no_grad():
                return call(self.image)

        kept: list[Tensor] = []

        def backward() -> Any:
            if not kept:
                kept.append(call(self.image))
            return torch.autograd.grad(kept[0], self.matrix, self.v_out, retain_graph=True)

        def both() -> Any:
            return torch.autograd.grad(call(self.image), self.matrix, self.v_out)

        def both_image() -> Any:
            return torch.autograd.grad(call(leaf), (self.matrix, leaf), self.v_out)

        out = {"forward": forward, "backward": backward, "both": both}
        return out if leaf is None else {**out, "both+image": both_image}


def contestants(case: Case, compiled: bool, kornia: bool) -> dict[str, Callable[[Tensor], Tensor]]:
    out: dict[str, Callable[[Tensor], Tensor]] = {"asda_fast": case.ours, "reference": case.reference}
    if compiled:
        torch._dynamo.reset()
        out["reference compiled"] = torch.compile(case.reference, fullgraph=True, dynamic=False)
    if kornia:
        out["kornia"] = case.kornia
    return out


def check(case: Case, peers: dict[str, Callable[[Tensor], Tensor]]) -> None:
    """Like is compared with like: all contestants make the same picture, to rounding."""
    tolerance = 0.1 if case.out_dtype == torch.bfloat16 else 1e-3
    with torch.no_grad():
        ours = case.ours(case.image).float()
        for name, call in peers.items():
            if "compiled" not in name:
                difference = float((call(case.image).float() - ours).abs().mean())
                if not difference < tolerance:
                    raise SystemExit(f"{name} disagrees with asda_fast: {difference:.2g} on average")


def has_kornia() -> bool:
    try:
        import kornia.geometry.transform  # noqa: F401
    except ImportError:
        return False
    return True


def main() -> None:
    cli = parser("Benchmark asda_fast.paste")
    cli.add_argument("--batches", default=None, help="comma-separated; default 32 on a CPU, 32,128,256 on a GPU")
    cli.add_argument("--sizes", default="256x256,256x192", help="HEIGHTxWIDTH, comma-separated")
    cli.add_argument("--parts", default="1,2,3,8", help="parts per image, comma-separated")
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
    batches = options.batches or ("32" if device == "cpu" else "32,128,256")
    if options.quick:
        batches, options.sizes, options.parts, options.dtypes, options.no_compile = "32", "256x256", "1,3", "fp32", True
        options.seconds = 1.0
    kornia = has_kornia()
    if not kornia:
        print("kornia: not installed, left out (pip install --no-deps kornia kornia_rs)")
    report = Report(torch.get_num_threads(), device)
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
    if options.json:
        report.save(options.json)
        print(f"wrote {options.json.name}")


def launch_cost(json: Path | None) -> None:
    report = Report(1)
    for name, micro in paste_launch.measure().items():
        report.add(name, {"mode": "launch cost"}, "us", micro)
        print(f"{name:36} {micro:7.1f} us")
    if json:
        report.save(json)


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
