"""`python -m asda_fast.data`."""

from asda_fast.cli import data, entry

if __name__ == "__main__":
    entry.run(data.main)
