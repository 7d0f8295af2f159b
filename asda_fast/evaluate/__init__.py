"""Test time: a pose network over crops, over a dataset, and the score of what it says."""

from asda_fast.evaluate.inference import PYRAMID, Predictions, predict

__all__ = ["PYRAMID", "Predictions", "predict"]
