"""`python -m asda_fast.preview`."""

from asda_fast.cli import entry, preview

if __name__ == "__main__":
    entry.run(preview.main)
