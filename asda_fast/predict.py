"""`python -m asda_fast.predict`."""

from asda_fast.cli import entry, predict

if __name__ == "__main__":
    entry.run(predict.main)
