"""The DALI pipeline: decode and warp with NVIDIA DALI, on the GPU where there is one.

    Source.feed(step) -> external_source -> decoders.image_slice (only the rectangle that the crop touches)
                                         -> warp_affine (our matrix) -> uint8 [B, H, W, 3]

Convention: with inverse_map=True (its default) warp_affine's matrix maps target to source, in coordinates whose origin
is a pixel's corner: exactly ours, pixel i covers [i, i + 1). The plan decides everything, nothing is drawn here; so the
loader's (epoch, step) is the whole state, and DALI's own checkpoints are not needed.
"""

from __future__ import annotations

import ctypes
import os
import warnings
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from asda_fast.core.batch import Batch
from asda_fast.core.errors import UserError, first_line
from asda_fast.core.hardware import cores
from asda_fast.data.people import People
from asda_fast.data.plan import Plan
from asda_fast.pipelines import dali_version
from asda_fast.pipelines.bad_images import BadImages
from asda_fast.pipelines.dali_source import Feed, Source
from asda_fast.pipelines.samples import take, tensors


class DaliPipeline:
    """Plan in, batches out, as `loader.Pipeline` asks for.

    device: "cpu" (DALI's CPU operators) or a CUDA device: its JPEG decoders, warp on the GPU, batch handed over there.
    threads: of DALI, and as many that read files. prefetch: batches under way.
    hw_decoder_load: share of the JPEGs for the hardware decoder of a GPU that has one. whole: decode whole photos, not
    the rectangles that the crops touch: more pixels, but a hardware decoder may take no rectangles. By default as is
    safe (dali_version.py).
    """

    def __init__(
        self,
        people: People,
        size: tuple[int, int],
        batch_size: int,
        bad_images: BadImages,
        device: torch.device,
        threads: int | None = None,
        prefetch: int = 2,
        hw_decoder_load: float = 0.65,
        whole: bool | None = None,
    ) -> None:
        self.dali = import_dali()
        self.size, self.batch_size, self.device = size, batch_size, device
        self.device_id: int | None = None
        if device.type == "cuda":
            self.device_id = torch.cuda.current_device() if device.index is None else device.index
        self.threads = threads or cores()
        self.prefetch = max(prefetch, 1)
        self.hw_decoder_load = hw_decoder_load
        self.raw = people.source.raw
        self.whole = bool(whole) if self.raw else dali_version.whole(whole, device.type, self.dali.__version__)
        self.columns = 2 if self.raw or self.whole else 4  # of a Feed; only image_slice needs the rectangles
        self.source = Source(people, size, bad_images, self.threads, raw=self.raw, whole=self.whole)
        self._pipe: Any = None
        self._steps = 0  # of the plan
        self._first = 0  # the step that DALI's iteration 0 is
        self._stop = True  # feed no more
        self._error: Exception | None = None  # what the callback met; raised when its step's turn has come
        self._fed: deque[Feed] = deque(maxlen=self.prefetch + 3)  # DALI reads these arrays without copying them
        self._replaced: dict[int, dict[int, Plan]] = {}  # step -> Feed.replaced
        self._process = os.getpid()
        _open.add(self)

    def run(self, plan: Plan, first: int, epoch: int) -> Iterator[Batch]:
        """The batches of steps first, first + 1, .. of `plan`. On a GPU they are handed over on torch's current stream,
        without waiting for them."""
        if self.device.type == "cuda" and self._process != os.getpid():
            raise RuntimeError(
                "this loader is of the process before the fork, whose GPU a child cannot use: make another"
            )
        self._rewind()
        self.source.begin(plan, epoch)
        self._steps, step = len(plan), first
        self._begin(step)
        while step < len(plan):
            stream = torch.cuda.current_stream(self.device) if self.device.type == "cuda" else None
            try:
                (out,) = self._pipe.run() if stream is None else self._pipe.run(stream)
            except StopIteration:  # the callback gave up, at this step
                assert self._error is not None
                raise self._error from None
            except RuntimeError as error:
                self._by_hand(plan, step, error)
                self._begin(step)
                continue
            image = self._taken(out, stream)
            yield self._batch(image, take(plan, plan.step(step)), self._replaced.pop(step, {}))
            step += 1
        self._rewind()

    def close(self) -> None:
        """End DALI's threads and ours; the next `run` starts new ones."""
        self._stop = True
        self._drop()
        self.source.close()

    def abandon(self) -> None:
        """In a forked child: what the parent's threads were doing is over, and DALI's C++ pipeline, whose end waits for
        threads that are not here, must never end; DALI's own exit handler would see to it. `run` builds another."""
        if self._pipe is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._pipe._pipe))
            self._pipe._pipe = None
        self.source.abandon()
        self._drop()

    def _build(self) -> Any:
        fn, types, gpu = self.dali.fn, self.dali.types, self.device.type == "cuda"
        pipe = self.dali.Pipeline(
            batch_size=self.batch_size,
            num_threads=self.threads,
            device_id=self.device_id,
            prefetch_queue_depth=self.prefetch,
        )
        with pipe:
            image, matrix, *where = fn.external_source(
                self._callback,
                num_outputs=2 if self.raw or self.whole else 4,
                batch=True,
                batch_info=True,
                # A raw store's pixels go to a GPU as they are, from DALI's copy, which is pinned: ours is not.
                no_copy=not (self.raw and gpu),
            )
            decoding = {
                "device": "mixed" if gpu else "cpu",
                "output_type": types.RGB,
                "adjust_orientation": False,  # annotations are in the orientation of the file
            }
            if gpu:  # fancy upsampling: the GPU's decoder then agrees with the CPU's
                decoding |= {"hw_decoder_load": self.hw_decoder_load, "jpeg_fancy_upsampling": True}
            if self.raw:  # pixels already
                image = fn.reinterpret(image.gpu() if gpu else image, layout="HWC")
            elif self.whole:
                image = fn.decoders.image(image, **decoding)
            else:
                image = fn.decoders.image_slice(image, start=where[0], shape=where[1], axes=(0, 1), **decoding)
            image = fn.warp_affine(
                image, matrix=matrix, size=self.size, fill_value=0, inverse_map=True, interp_type=types.INTERP_LINEAR
            )
            pipe.set_outputs(image)
        pipe.build()
        return pipe

    def _begin(self, step: int) -> None:
        if self._pipe is None:
            self._pipe = self._build()
        self._first, self._stop, self._error = step, False, None

    def _callback(self, info: Any) -> tuple[Any, ...]:
        step = self._first + info.iteration
        if self._stop or self._error is not None or step >= self._steps:
            raise StopIteration
        try:
            feed = self.source.feed(step)
        except Exception as error:  # the steps before this one are good and come first
            self._error = error
            raise StopIteration from None
        self._fed.append(feed)
        if feed.replaced:
            self._replaced[step] = feed.replaced
        return (
            (feed.image, feed.matrix) if self.raw or self.whole else (feed.image, feed.matrix, feed.start, feed.shape)
        )

    def _taken(self, out: Any, stream: torch.cuda.Stream | None) -> Tensor:
        """DALI's images, uint8 [b, H, W, 3]. On a GPU they are copied into torch's memory, on its stream: DALI's own,
        held by a tensor, would be freed whenever Python drops it, with a wait for the whole device."""
        there = out.as_tensor()
        if stream is None:
            return torch.from_dlpack(there)
        image = torch.empty(there.shape(), dtype=torch.uint8, device=self.device)
        where = ctypes.c_void_p(image.data_ptr()), ctypes.c_void_p(stream.cuda_stream)
        there.copy_to_external(*where, non_blocking=True)
        return image

    def _batch(self, image: Tensor, plan: Plan, replaced: dict[int, Plan]) -> Batch:
        columns = tensors(plan, replaced)
        if self.device.type == "cuda":  # pinned, so that the host need not wait
            columns = {name: t.pin_memory().to(self.device, non_blocking=True) for name, t in columns.items()}
        return Batch(image=image, **columns)

    def _by_hand(self, plan: Plan, step: int, error: RuntimeError) -> None:
        """DALI failed at a photo of the steps under way. From now on their photos are decoded by `native`'s decoder,
        which names the bad one; if DALI still fails, its own error is raised. Said once: the source hands on only
        photos that every decoder reads, so it may be DALI that does not work here, and the CPU decodes them all."""
        self._drop()
        last = min(step + self.prefetch + 1, len(plan))
        rows = {int(row) for s in range(step, last) for row in plan.row[plan.step(s)]}
        if rows <= self.source.on_host:
            raise error
        if not self.source.on_host:
            what = f"DALI failed ({first_line(error)}); {len(rows)} people's photos are decoded on the CPU instead"
            warnings.warn(what, RuntimeWarning, stacklevel=2)
        self.source.on_host |= rows

    def _rewind(self) -> None:
        """Throw away what is under way, so that the next run begins with an empty queue."""
        self._stop = True
        self.source.cancel()
        self._replaced.clear()
        try:
            for _ in range(self.prefetch + 2 if self._pipe is not None else 0):
                self._pipe.run()
        except StopIteration:
            self._pipe.reset()
        except RuntimeError:
            self._drop()
        else:
            self._drop()

    def _drop(self) -> None:
        self._pipe = None  # its destructor ends its threads
        self.source.cancel()
        self._replaced.clear()
        self._fed.clear()


_open: weakref.WeakSet[DaliPipeline] = weakref.WeakSet()


def _abandon_all() -> None:
    for pipeline in list(_open):
        pipeline.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)


def import_dali() -> Any:
    """DALI, or one line that says how to get it. It takes half a second, which only its users pay."""
    try:
        import nvidia.dali as dali
        from nvidia.dali import fn, types  # noqa: F401 (dali.fn, dali.types)
    except ImportError as error:
        raise UserError(
            f"pipeline dali: cannot import DALI ({error}): pip install 'asda_fast[dali-cuda13]' (or dali-cuda12), or "
            "use pipeline='native'"
        ) from None
    return dali
