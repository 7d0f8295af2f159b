"""`python -m asda_fast.evaluate`."""

from asda_fast.cli import entry, evaluate

if __name__ == "__main__":
    entry.run(evaluate.main)
