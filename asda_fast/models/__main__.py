"""`python -m asda_fast.models`."""

from asda_fast.cli import entry, networks

if __name__ == "__main__":
    entry.run(networks.main)
