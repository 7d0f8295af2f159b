"""Benchmarks: `python -m benchmarks.NAME --json FILE`; `python -m benchmarks.report FILE...` makes tables and plots."""
