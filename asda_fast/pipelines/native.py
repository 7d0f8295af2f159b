"""The native pipeline: threads of this process decode and warp straight into the batch's own memory.

Decoding and warping release the GIL, so threads do what others need worker processes for, without copying or pickling a
pixel. A batch is a slot: uint8 memory of its full size, handed out as the batch's image and taken back when the caller
has let go of it, so a training loop runs in the same few slots for ever. At most `prefetch` batches are under way.
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch

from asda_fast import _C
from asda_fast.core.batch import Batch
from asda_fast.data.people import People
from asda_fast.data.plan import Plan
from asda_fast.data.store import Fetched, fetch
from asda_fast.pipelines.decode import JPEG_START, BadImage, decode
from asda_fast.pipelines.faults import Faults

PATIENCE = 0.8  # seconds that `close` waits for photos under way: milliseconds, unless a disk has stopped answering
SHRINK_FROM = 2.0  # decode at 1/s where that still leaves this many decoded pixels to a crop pixel


@dataclass
class Job:
    """One batch under way."""

    image: np.ndarray  # [b, H, W, 3] uint8, a slot
    plan: Plan  # one step's samples
    epoch: int
    left: int  # samples not done
    done: threading.Event = field(default_factory=threading.Event)
    replaced: dict[int, Plan] = field(default_factory=dict)  # place in the batch -> one-sample plan
    error: BaseException | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Slots:
    """Batch-sized buffers. One that its caller has dropped is used again; a caller that keeps batches gets new ones."""

    def __init__(self, shape: tuple[int, ...], pinned: bool) -> None:
        self.shape, self.pinned = shape, pinned
        self._lent: dict[int, tuple[weakref.ref[np.ndarray], np.ndarray]] = {}
        # What happens when an array dies must not be Python code: a Ctrl-C that comes there would be printed and lost.
        self._dropped: deque[weakref.ref[np.ndarray]] = deque()

    def take(self, count: int) -> np.ndarray:
        """The first `count` samples of a free buffer, as an array whose end gives the buffer back."""
        try:
            _, buffer = self._lent.pop(id(self._dropped.popleft()))
        except IndexError:
            buffer = torch.empty(self.shape, dtype=torch.uint8, pin_memory=self.pinned).numpy()
        view = buffer[:count]
        watch = weakref.ref(view, self._dropped.append)
        self._lent[id(watch)] = watch, buffer
        return view


class NativePipeline:
    """Plan in, batches out. `run` may be left early; the threads stay for the next epoch until `close`."""

    def __init__(
        self,
        people: People,
        size: tuple[int, int],
        batch_size: int,
        faults: Faults,
        device: torch.device,
        threads: int | None = None,
        prefetch: int = 2,
    ) -> None:
        self.people, self.size, self.faults, self.device = people, size, faults, device
        self.threads = threads or cores()
        self.prefetch = max(1, prefetch)
        self._slots = Slots((batch_size, *size, 3), pinned=device.type == "cuda")
        self._upload = Upload(device) if device.type == "cuda" else None
        self._tasks: queue.SimpleQueue[tuple[Job, int] | None] = queue.SimpleQueue()
        self._workers: list[threading.Thread] = []
        self._closing = threading.Event()
        self._process = os.getpid()
        _open.add(self)

    def run(self, plan: Plan, first: int, epoch: int) -> Iterator[Batch]:
        """The batches of steps first, first + 1, .. of `plan`."""
        self._start()
        pending: deque[Job] = deque()
        steps = iter(range(first, len(plan)))
        try:
            while True:
                while len(pending) < self.prefetch and (step := next(steps, None)) is not None:
                    pending.append(self._submit(plan, step, epoch))
                if not pending:
                    return
                job = pending.popleft()
                job.done.wait()
                if job.error is not None:
                    raise job.error
                if (step := next(steps, None)) is not None:  # keep the threads busy while the caller computes
                    pending.append(self._submit(plan, step, epoch))
                batch = finish(job)
                del job  # the batch alone holds the slot now
                yield batch if self._upload is None else self._upload(batch)
                del batch
        finally:
            for job in pending:
                job.error = GeneratorExit()  # what is not begun is not begun any more

    def __del__(self) -> None:  # a loader that nobody closed must not leave its threads waiting for ever
        if getattr(self, "_workers", None):  # none after `_close_all`, when this module's names may be gone already
            self._dismiss()

    def close(self) -> None:
        """Stop the threads; the next `run` starts new ones."""
        deadline = time.monotonic() + PATIENCE
        for worker in self._dismiss():
            worker.join(max(0.0, deadline - time.monotonic()))

    def _dismiss(self) -> list[threading.Thread]:
        """Tell the threads to end; the pipeline is as new."""
        workers, tasks = self._workers, self._tasks
        self._closing.set()
        if self._process == os.getpid():  # else they stayed with the parent of a fork
            for _ in workers:
                tasks.put(None)
        else:
            workers = []
        self._workers, self._tasks, self._closing = [], queue.SimpleQueue(), threading.Event()
        self._process = os.getpid()
        return workers

    def _start(self) -> None:
        if self._process != os.getpid():
            self._dismiss()
        while len(self._workers) < self.threads:
            about = (self._tasks, self._closing, self.people, self.size, self.faults)
            worker = threading.Thread(target=_work, args=about, name="asda_fast", daemon=True)
            worker.start()
            self._workers.append(worker)

    def _submit(self, plan: Plan, step: int, epoch: int) -> Job:
        part = take(plan, plan.step(step))
        job = Job(image=self._slots.take(len(part.row)), plan=part, epoch=epoch, left=len(part.row))
        for place in range(len(part.row)):
            self._tasks.put((job, place))
        return job


_open: weakref.WeakSet[NativePipeline] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """At the interpreter's end a thread must not come back from C++ code: Python would kill it there, and C++ the
    process."""
    for pipeline in list(_open):
        pipeline.close()


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _work(
    tasks: queue.SimpleQueue[tuple[Job, int] | None],
    closing: threading.Event,
    people: People,
    size: tuple[int, int],
    faults: Faults,
) -> None:
    """A worker thread. A failure belongs to its job: the caller gets it, the thread lives on."""
    while (task := tasks.get()) is not None:
        job, place = task
        try:
            if closing.is_set():
                raise RuntimeError("the loader was closed")
            if job.error is None:
                fill(job, place, people, size, faults)
        except BaseException as error:
            job.error = job.error or error
        with job.lock:
            job.left -= 1
            if job.left == 0:
                job.done.set()
        del job, task


def fill(job: Job, place: int, people: People, size: tuple[int, int], faults: Faults) -> None:
    """Make one sample of a job, or its substitute where the photo is bad."""
    out = job.image[place]
    row = int(job.plan.row[place])
    try:
        make_crop(people, row, job.plan.matrix[place], size, out)
        return
    except BadImage as error:
        bad = error
    for other in faults.substitutes(row, job.epoch, bad):
        try:
            make_crop(people, int(other.row[0]), other.matrix[0], size, out)
        except BadImage as error:
            faults.note(error)
            continue
        with job.lock:
            job.replaced[place] = other
        return


def make_crop(people: People, row: int, matrix: np.ndarray, size: tuple[int, int], out: np.ndarray) -> None:
    """One person's crop into `out` [H, W, 3] uint8. Raises BadImage."""
    try:
        source = fetch(people, row, matrix, size)
    except OSError as error:
        raise BadImage(people.files[people.file[row]], error.strerror or str(error)) from None
    if source.data is not None and shrink_of(source.matrix) == 1 and _crop_jpeg(source.data, source.matrix, out):
        return
    warp(*pixels(source), out)


def _crop_jpeg(data: bytes | memoryview, matrix: np.ndarray, out: np.ndarray) -> bool:
    """Decode and warp only what the crop touches (csrc/jpeg.h). False for what is not an ordinary JPEG, or broken."""
    matrix = np.ascontiguousarray(matrix, dtype=np.float64)
    return _C.jpeg_crop(data, matrix.ctypes.data, out.ctypes.data, *out.shape[:2])


def pixels(source: Fetched) -> tuple[np.ndarray, np.ndarray]:
    """The decoded image [h, w, 3] of a sample and its matrix [2, 3] into that image, which a large person has smaller
    than the file. Raises BadImage."""
    if source.pixels is not None:
        return source.pixels, source.matrix
    assert source.data is not None
    shrink = shrink_of(source.matrix)
    image = decode(source.data, source.name, shrink)
    smaller = bytes(source.data[:3]) == JPEG_START  # only a JPEG can be decoded at a fraction
    return image, source.matrix / shrink if smaller else source.matrix


def shrink_of(matrix: np.ndarray) -> int:
    """1, 2, 4 or 8: how much smaller a photo may be decoded for a crop with this matrix."""
    ratio = abs(float(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0])) ** 0.5  # photo per crop pixel
    return next((s for s in (8, 4, 2) if ratio >= SHRINK_FROM * s), 1)


def warp(image: np.ndarray, matrix: np.ndarray, out: np.ndarray) -> None:
    """uint8 RGB image [h, w, 3] -> out [H, W, 3]: bilinear at matrix * (x + .5, y + .5), black outside the photo."""
    matrix = np.ascontiguousarray(matrix, dtype=np.float64)
    if image.strides[1:] != (3, 1):
        image = np.ascontiguousarray(image)
    height, width, _ = out.shape
    _C.warp(
        image.ctypes.data, image.shape[0], image.shape[1], image.strides[0], matrix.ctypes.data, out.ctypes.data,
        height, width,
    )  # fmt: skip


def take(plan: Plan, part: slice) -> Plan:
    """Those samples of a plan, as a plan of one step."""
    return replace(
        plan, **{name: getattr(plan, name)[part] for name in COLUMNS}, batch_size=max(1, part.stop - part.start)
    )


COLUMNS = ("row", "matrix", "flip", "half", "joints", "visible", "box")


def finish(job: Job) -> Batch:
    """The batch of a finished job, with the columns of what was replaced."""
    plan = job.plan
    if job.replaced:
        columns = {name: getattr(plan, name).copy() for name in COLUMNS}
        for place, other in job.replaced.items():
            for name in COLUMNS:
                columns[name][place] = getattr(other, name)[0]
        plan = replace(plan, **columns)
    columns = {name: torch.from_numpy(getattr(plan, name).copy()) for name in COLUMNS}  # the plan stays as it is
    return Batch(image=torch.from_numpy(job.image), **columns)


class Upload:
    """Copies batches to the GPU on a stream of its own. A pinned slot is kept until its copy is through, and the
    caller's stream waits for the copy, the host never does."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)
        self._under_way: deque[tuple[torch.cuda.Event, Batch]] = deque()

    def __call__(self, batch: Batch) -> Batch:
        while self._under_way and self._under_way[0][0].query():
            self._under_way.popleft()
        host = replace(
            batch, **{f.name: getattr(batch, f.name).pin_memory() for f in fields(batch) if f.name != "image"}
        )
        with torch.cuda.stream(self.stream):
            there = host.to(self.device, non_blocking=True)
        copied = self.stream.record_event()
        self._under_way.append((copied, host))
        caller = torch.cuda.current_stream(self.device)
        caller.wait_event(copied)
        for f in fields(there):
            getattr(there, f.name).record_stream(caller)  # allocated on our stream, used on the caller's
        return there
