"""The gallery: one HTML file with its pictures inside, to flip between clean, random and chosen placements."""

from __future__ import annotations

import base64
import html
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from asda_fast.core.batch import Batch
from asda_fast.core.skeletons import Skeleton
from asda_fast.viz.draw import sides
from asda_fast.viz.view import View


def _picture(image: np.ndarray) -> str:
    """A data URL. PNG: a crop is small, and JPEG's rings would be taken for the paste's."""
    done, code = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))
    if not done:
        raise OSError("a picture could not be encoded")
    return "data:image/png;base64," + base64.b64encode(code.tobytes()).decode()


def _points(xy: np.ndarray) -> list[list[float]]:
    return [[round(float(x), 1), round(float(y), 1)] for x, y in xy]


def _view(view: View, i: int) -> dict[str, Any]:
    return {
        "name": view.name,
        "src": _picture(view.image[i]),
        "outlines": [_points(polygon) for polygon in view.outlines[i]],
        "parts": view.parts[i],
        "loss": None if view.loss is None else round(view.loss[i], 8),
        "joints": None if view.joints is None else _points(view.joints[i]),
        "score": None if view.score is None else [round(float(v), 3) for v in view.score[i]],
    }


def page(shown: list[View], batch: Batch, skeleton: Skeleton, title: str) -> str:
    """The whole page. It loads nothing from anywhere."""
    people = [
        {
            "row": int(batch.row[i]),
            "joints": _points(batch.joints[i].numpy()),
            "visible": batch.visible[i].tolist(),
            "views": [_view(view, i) for view in shown],
        }
        for i in range(len(batch))
    ]
    content = {
        "title": title,
        "size": [batch.image.shape[1], batch.image.shape[2]],
        "views": [view.name for view in shown],
        "edges": [list(edge) for edge in skeleton.edges],
        "side": sides(skeleton),
        "joints": list(skeleton.joints),
        "people": people,
    }
    text = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    template = Path(__file__).with_name("gallery.html").read_text(encoding="utf-8")
    return template.replace("{{title}}", html.escape(title)).replace("{{content}}", text)
