"""Training: the paper's two updates (adversarial), the loop round them, checkpoints and what a run reports."""
