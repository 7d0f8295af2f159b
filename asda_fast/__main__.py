"""`python -m asda_fast COMMAND`: as `asda-fast COMMAND`."""

from asda_fast.cli.main import main

if __name__ == "__main__":
    main()
