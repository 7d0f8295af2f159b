"""`python -m asda_fast.parts`."""

from asda_fast.cli import entry, parts

if __name__ == "__main__":
    entry.run(parts.main)
