"""`python -m asda_fast.preview`."""

from asda_fast.core.errors import run_cli
from asda_fast.viz.preview import main

if __name__ == "__main__":
    run_cli(main)
