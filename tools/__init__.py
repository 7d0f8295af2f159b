"""What the project's own people run in a checkout; not in the wheel."""
