# Two commands on a fresh machine: `make train` and `make test`. Each sets up what it needs.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# DALI and CuPy come as one build per CUDA major version; `make CUDA=12 train` for an older driver.
CUDA ?= 13
TEST ?= tests

.PHONY: env train test lint format bench test-gpu bench-gpu demo clean help

help:
	@echo "make train      set up, then train on the embedded demo set (runs/demo)"
	@echo "make test       set up, then run the tests (TEST=tests/ops for a part)"
	@echo "make lint       ruff, mypy, clang-format"
	@echo "make bench      the benchmarks of this machine -> benchmarks/results"
	@echo "make test-gpu   everything that needs a GPU, and compute-sanitizer; fails without one"
	@echo "make bench-gpu  every benchmark on the GPU -> benchmarks/results"

# One stamp per set of packages: installed anew when what they are made from changes.
.env-train: setup.py pyproject.toml constraints.txt CMakeLists.txt $(wildcard csrc/*)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install -q -c constraints.txt torch
	$(PIP) install -q -c constraints.txt -e '.[dali-cuda$(CUDA)]'
	touch $@

.env-dev: .env-train
	$(PIP) install -q -c constraints.txt -e '.[dali-cuda$(CUDA),cuda$(CUDA),dev]'
	touch $@

env: .env-dev

train: .env-train
	$(BIN)/python -m asda_fast.train --dataset demo --augment asda --pipeline dali --out runs/demo

test: .env-dev
	$(BIN)/python -m pytest $(TEST)

lint: .env-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror csrc/*.cpp csrc/*.h kernels/*.h kernels/*.cu

format: .env-dev
	$(BIN)/ruff check --fix -q .
	$(BIN)/ruff format -q .
	$(BIN)/clang-format -i csrc/*.cpp csrc/*.h kernels/*.h kernels/*.cu

clean:
	rm -rf .venv .env-train .env-dev build asda_fast/_C*.so .pytest_cache .ruff_cache .mypy_cache .hypothesis
