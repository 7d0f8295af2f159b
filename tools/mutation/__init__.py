"""Mutation testing: what small mistake in the core would no test notice? `python -m tools.mutation --help`.

Of the libraries for it mutmut leaves tables and decorated functions alone, cosmic-ray starts a Python, and so waits for
torch, for each mutant, and neither swaps axes or drops terms. Here one process has imported everything but the package
and its tests, and forks for each mutant.
"""
