"""`python -m asda_fast.parts`."""

from asda_fast.cli.parts import main
from asda_fast.core.errors import run_cli

if __name__ == "__main__":
    run_cli(main)
