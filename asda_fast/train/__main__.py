"""`python -m asda_fast.train`."""

from asda_fast.cli import entry, train

if __name__ == "__main__":
    entry.run(train.main)
