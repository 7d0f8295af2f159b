"""Videos in and out, through OpenCV's FFmpeg: frames as RGB, in chunks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from asda_fast.core.errors import UserError

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv")


class Video:
    """A video file. `frames` is what its header says, an upper bound; where it does not, they are counted."""

    def __init__(self, path: Path) -> None:
        self.path, self._capture = path, cv2.VideoCapture(str(path))
        read = self._capture.get
        self.frames, self.rate = int(read(cv2.CAP_PROP_FRAME_COUNT)), float(read(cv2.CAP_PROP_FPS)) or 25.0
        if self.frames < 1:  # as browsers record
            self.frames = 0
            while self._capture.grab():
                self.frames += 1
            self._capture.release()
            self._capture = cv2.VideoCapture(str(path))
        self._next: np.ndarray | None = None
        done, first = self._capture.read() if self._capture.isOpened() else (False, None)
        if not done or first is None or self.frames < 1:
            self._capture.release()
            raise UserError(f"images {path}: not a video that can be read (damaged, or of a kind that OpenCV lacks)")
        self.height, self.width = first.shape[:2]
        self._next = first

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.release()

    def chunks(self, size: int) -> Iterator[tuple[int, list[np.ndarray]]]:
        """The number of the first frame, and up to `size` frames [H, W, 3] uint8 RGB; until one cannot be read."""
        number = 0
        while self._next is not None and number < self.frames:
            frames: list[np.ndarray] = []
            while self._next is not None and len(frames) < min(size, self.frames - number):
                frames.append(cv2.cvtColor(self._next, cv2.COLOR_BGR2RGB))
                done, self._next = self._capture.read()
                self._next = self._next if done else None
            yield number, frames
            number += len(frames)


@contextlib.contextmanager
def writer(path: Path | None, like: Video) -> Iterator[Callable[[np.ndarray], None] | None]:
    """What appends a frame [H, W, 3] uint8 RGB to an MP4 as large and as fast as `like`; None for no path.
    An MP4 has even sides: an odd one's last pixels are written twice."""
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.samefile(like.path):
        raise UserError(f"out {path.parent}: the video would be written over itself: name another folder")
    more, below = like.width % 2, like.height % 2
    size = (like.width + more, like.height + below)
    out = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), like.rate, size)
    if not out.isOpened():
        raise UserError(f"{path}: OpenCV cannot write a video of {like.width} x {like.height} pixels here")

    def write(frame: np.ndarray) -> None:
        out.write(np.pad(frame[..., ::-1], ((0, below), (0, more), (0, 0)), "edge"))

    try:
        yield write
    finally:
        out.release()
