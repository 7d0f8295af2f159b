"""Test time: a pose network over crops, over a dataset, and the score of what it says."""

from asda_fast.core import lazy

__getattr__, __dir__ = lazy.exports(
    __name__,
    {name: f"asda_fast.evaluate.inference:{name}" for name in ("PYRAMID", "Predictions", "predict")}
    | {"evaluate_network": "asda_fast.evaluate.score:evaluate_network"},
)
