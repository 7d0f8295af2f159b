"""`python -m asda_fast.evaluate`."""

from asda_fast.cli.evaluate import main
from asda_fast.core.errors import run_cli

if __name__ == "__main__":
    run_cli(main)
