"""The fused paste op: `paste` (checked), `PasteFormat` (its options), `Paste` (the autograd function), `skipped` (its
counters)."""

from asda_fast.ops.paste import Paste, paste, skipped
from asda_fast.ops.paste_arguments import PasteFormat

__all__ = ["Paste", "PasteFormat", "paste", "skipped"]
