"""The fused paste op: `paste` (checked), `Paste` (the autograd function), `skipped` (its counters)."""

from asda_fast.ops.paste import Paste, paste, skipped

__all__ = ["Paste", "paste", "skipped"]
