"""The native pipeline: threads of this process decode and warp straight into the batch's own memory.

Decoding and warping release the GIL, so threads do what others need worker processes for, without copying or pickling a
pixel. A batch is a buffer: uint8 memory of its full size, handed out as the batch's image and taken back when the
caller has let go of it, so a training loop runs in the same few buffers for ever. At most `prefetch` batches are under
way.
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
from dataclasses import dataclass, field

import numpy as np
import torch

from asda_fast.core.batch import Batch
from asda_fast.core.hardware import cores
from asda_fast.core.images import BadImage
from asda_fast.data.people import People
from asda_fast.data.plan import Plan
from asda_fast.pipelines.bad_images import BadImages
from asda_fast.pipelines.samples import make_crop, take, tensors
from asda_fast.pipelines.upload import Upload

PATIENCE = 0.8  # seconds that `close` waits for photos under way: milliseconds, unless a disk has stopped answering


@dataclass
class Job:
    """One batch under way."""

    image: np.ndarray  # [b, H, W, 3] uint8, a buffer of the pool
    plan: Plan  # one step's samples
    epoch: int
    left: int  # samples not done
    done: threading.Event = field(default_factory=threading.Event)
    replaced: dict[int, Plan] = field(default_factory=dict)  # place in the batch -> one-sample plan
    error: BaseException | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class BufferPool:
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
        bad_images: BadImages,
        device: torch.device,
        threads: int | None = None,
        prefetch: int = 2,
    ) -> None:
        self.people, self.size, self.bad_images, self.device = people, size, bad_images, device
        self.threads = threads or cores()
        self.prefetch = max(1, prefetch)
        self._buffers = BufferPool((batch_size, *size, 3), pinned=device.type == "cuda")
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
                del job  # the batch alone holds the buffer now
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
            about = (self._tasks, self._closing, self.people, self.size, self.bad_images)
            worker = threading.Thread(target=_work, args=about, name="asda_fast", daemon=True)
            worker.start()
            self._workers.append(worker)

    def _submit(self, plan: Plan, step: int, epoch: int) -> Job:
        part = take(plan, plan.step(step))
        job = Job(image=self._buffers.take(len(part.row)), plan=part, epoch=epoch, left=len(part.row))
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


def _work(
    tasks: queue.SimpleQueue[tuple[Job, int] | None],
    closing: threading.Event,
    people: People,
    size: tuple[int, int],
    bad_images: BadImages,
) -> None:
    """A worker thread. A failure belongs to its job: the caller gets it, the thread lives on."""
    while (task := tasks.get()) is not None:
        job, place = task
        try:
            if closing.is_set():
                raise RuntimeError("the loader was closed")
            if job.error is None:
                fill(job, place, people, size, bad_images)
        except BaseException as error:
            job.error = job.error or error
        with job.lock:
            job.left -= 1
            if job.left == 0:
                job.done.set()
        del job, task


def fill(job: Job, place: int, people: People, size: tuple[int, int], bad_images: BadImages) -> None:
    """Make one sample of a job, or its substitute where the photo is bad."""
    out = job.image[place]
    row = int(job.plan.row[place])
    try:
        make_crop(people, row, job.plan.matrix[place], size, out)
        return
    except BadImage as error:
        bad = error
    for other in bad_images.substitutes(row, job.epoch, bad):
        try:
            make_crop(people, int(other.row[0]), other.matrix[0], size, out)
        except BadImage as error:
            bad_images.note(error)
            continue
        with job.lock:
            job.replaced[place] = other
        return


def finish(job: Job) -> Batch:
    """The batch of a finished job, with the columns of what was replaced."""
    return Batch(image=torch.from_numpy(job.image), **tensors(job.plan, job.replaced))
