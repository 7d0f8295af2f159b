"""README.md: its Python blocks run as pasted, one after the other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

README = Path(__file__).resolve().parent.parent / "README.md"


def test_python_blocks_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 3
    space: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), space)
    assert space["out"].shape == (8, 3, 256, 192)
    assert space["shift"].grad is not None
    assert space["image"].shape == (8, 3, 256, 192)
    assert space["batch"].image.shape[1:] == (256, 192, 3)
