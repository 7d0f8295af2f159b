"""`python -m asda_fast.train`."""

import os

# Before torch starts its threads: they sleep, not spin, while they wait. Decoding shares the cores with the network,
# and a spinning thread takes the core from the one that it waits for.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from asda_fast.core.errors import run_cli
from asda_fast.train.trainer import main

if __name__ == "__main__":
    run_cli(main)
