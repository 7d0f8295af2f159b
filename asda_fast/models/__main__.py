"""`python -m asda_fast.models`."""

from asda_fast.cli.networks import main
from asda_fast.core.errors import run_cli

if __name__ == "__main__":
    run_cli(main)
