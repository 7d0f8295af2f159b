"""What is scored, and how, as options. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from asda_fast.core.errors import UserError
from asda_fast.core.options import CROP, Above, AtLeast, Between, Size, check
from asda_fast.pipelines import PIPELINES


@dataclass(frozen=True)
class FileOptions:
    """A file of predictions, and how to read it."""

    predictions: str | None = None
    """.npy .npz .mat .h5 .json in any order of axes; for coco a results JSON, or an array of the annotated
    people in the file's order"""
    key: str | None = None
    """name of the array in --predictions [found by its shape and name]"""
    one_based: bool = False
    """the first pixel of --predictions is 1 [of .mat and .h5 files it is, of others 0]"""
    zero_based: bool = False
    """the first pixel of --predictions is 0"""
    visibility: str | None = None
    """mpii: Hourglass's valid.h5, which tells invisible joints [where it lies beside the annotations]"""

    def __post_init__(self) -> None:
        check(self)
        if self.one_based and self.zero_based:
            raise UserError("`one_based` and `zero_based`: expected at most one of them")


@dataclass(frozen=True)
class TruthOptions:
    """What is scored against."""

    dataset: str | None = None
    """demo | lsp | mpii | coco (any keypoints in its format) | module:DATASET of your own [the checkpoint's; coco for a
    .json]"""
    annotations: str | None = None
    """with --predictions: gt_valid.mat (mpii; valid.h5 has rounded joints and scores a little otherwise), joints.mat
    (lsp), a COCO JSON (coco); with --checkpoint: coco's JSON where --root has none, as a store"""
    bootstrap: Annotated[int, AtLeast(0)] = 0
    """samples of people for a 95 % confidence interval, e.g. 1000"""
    normalise: Literal["box", "torso", "head"] | None = None
    """PCK, AUC and EPE as mmpose has them, distances measured in this [MPII: PCKh; a torso: PCK of it; else box]"""
    threshold: Annotated[float | None, Above(0)] = None
    """how many of those a correct joint may be away [head: 0.5, torso and box: 0.2]"""
    sigmas: tuple[float, ...] = ()
    """OKS: a number for each joint in the order of --annotations, or one for all [the published ones, else 0.05]"""

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class NetworkOptions:
    """Which network, on what, and how it is tested."""

    checkpoint: str | None = None
    """network to run: a file of ours, or a published one with a heatmap head"""
    within: str | None = None
    """which network, where --checkpoint holds several: a word of its place, e.g. student"""
    root: str | None = None
    """folder of the dataset"""
    split: Literal["val", "train"] = "val"
    """which people"""
    input: Annotated[Size | None, CROP] = None
    """crop as HxW [the checkpoint's, else the dataset's preset]"""
    flip_test: bool = True
    """average with the mirrored crop"""
    pyramid: bool = False
    """average over the scales 0.8, 0.9, .. 1.3 (the paper's test on MPII and LSP)"""
    decode: Literal["quarter", "dark", "udp"] | None = None
    """how a joint is read from its heatmap [as the network was trained: udp, simcc, else quarter]"""
    detections: str | None = None
    """coco: score on these person boxes instead of the annotated ones"""
    save_predictions: str | None = None
    """write the predictions here: .npy [P, J, 3] (x, y, score; the first pixel is 0), for coco a results .json"""
    batch_size: Annotated[int, AtLeast(1)] = 32
    """people per step"""
    pipeline: Annotated[str, PIPELINES] = "native"
    """native | dali"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where the network runs"""
    threads: Annotated[int | None, AtLeast(1)] = None
    """decoding threads [all cores]"""
    amp: bool = False
    """bfloat16 autocast (on a GPU only): faster, and scores differ in their last digits from the published ones"""
    cuda_graph: Literal["auto", "off"] = "auto"
    """auto (on a GPU the network's forward as one CUDA graph, compared with the network; a line says where it does not
    hold) | off"""
    on_bad_image: Literal["error", "skip"] = "error"
    """error (stop, naming the file) | skip (leave its people out, say how many)"""
    limit: Annotated[int | None, AtLeast(1)] = None
    """use only the first so many people"""

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class PredictOptions:
    """Joints of the people in photos or a video, by any checkpoint: COCO results and drawn pictures."""

    checkpoint: str
    """network to run: a file of ours, or a published one with a heatmap head"""
    images: str
    """a folder of photos (with those below it), a photo, or a video"""
    out: str
    """folder to write: results.json (image_id, file_name, bbox, keypoints as x, y, score of each joint, score; the
    first pixel is 0), drawn/ with a picture of each photo, or the video"""
    boxes: str | None = None
    """where the people are: COCO detections or annotations, a JSON of {file name: [[x, y, width, height(, score)],
    ..]}, or a CSV of file, x, y, width, height(, score); of a video the frame's number, from 0, is the file [a photo is
    one person, from edge to edge]"""
    threshold: Annotated[float, Between(0, 1)] = 0.2
    """joints of a lower score are not drawn; the results have all"""
    box_threshold: Annotated[float, Between(0, 1)] = 0.3
    """boxes of a lower score are left out"""
    pictures: bool = True
    """draw; without, only results are written"""
    within: str | None = None
    """which network, where --checkpoint holds several: a word of its place, e.g. student"""
    input: Annotated[Size | None, CROP] = None
    """crop as HxW [the checkpoint's]"""
    flip_test: bool = True
    """average with the mirrored crop"""
    decode: Literal["quarter", "dark", "udp", "simcc"] | None = None
    """how a joint is read from the network's answer [as it was trained]"""
    batch_size: Annotated[int, AtLeast(1)] = 32
    """people per step; of a video the frames that are read at a time"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where the network runs"""
    threads: Annotated[int | None, AtLeast(1)] = None
    """decoding and drawing threads [all cores]"""
    amp: bool = False
    """bfloat16 autocast (on a GPU only)"""

    def __post_init__(self) -> None:
        check(self)
