"""What an import may cost. Who may import whom is in .importlinter, held by `lint-imports` (make lint)."""

from __future__ import annotations

import subprocess
import sys


def test_import_pulls_in_neither_dali_nor_cupy() -> None:
    code = (
        "import sys, asda_fast; asda_fast.paste, asda_fast.PartPool, asda_fast.make_loader, asda_fast.SemanticPaste;"
        "print([m for m in ('nvidia.dali', 'cupy', 'matplotlib', 'tensorboard') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
    light = "import sys, asda_fast; print('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", light], capture_output=True, text=True, check=True).stdout.strip()
        == "False"
    )
