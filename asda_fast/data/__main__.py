"""`python -m asda_fast.data`."""

from asda_fast.cli.pack import cli
from asda_fast.core.errors import run_cli

if __name__ == "__main__":
    run_cli(cli)
