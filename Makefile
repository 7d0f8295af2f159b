# Two commands on a fresh machine: `make train` and `make test`. Each sets up what it needs.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# DALI and CuPy come as one build per CUDA major version; `make CUDA=12 train` for an older driver.
CUDA ?= 13
TEST ?= tests
RESULTS := benchmarks/results

.PHONY: help env train test lint format bench test-gpu bench-gpu clean

help:
	@echo "make train      set up, then train on the embedded demo set (runs/demo)"
	@echo "make test       set up, then run the tests (TEST=tests/ops for a part)"
	@echo "make lint       ruff, mypy, clang-format;  make format mends what they can"
	@echo "make bench      the benchmarks on this CPU -> $(RESULTS), tables and plots"
	@echo "make test-gpu   all that needs a GPU, with compute-sanitizer; fails without one"
	@echo "make bench-gpu  the benchmarks on the GPU -> $(RESULTS)"

# One stamp per set of packages: made anew when what it was made from changes.
.env-train: setup.py pyproject.toml constraints.txt CMakeLists.txt $(wildcard csrc/* kernels/*.h)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install -q -c constraints.txt torch
	$(PIP) install -q -c constraints.txt -e '.[dali-cuda$(CUDA)]'
	touch $@

.env-dev: .env-train
	$(PIP) install -q -c constraints.txt -e '.[dali-cuda$(CUDA),cuda$(CUDA),synth,dev]'
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
	$(BIN)/clang-format --dry-run --Werror $(shell git ls-files '*.cpp' '*.h' '*.cu' '*.cuh')

format: .env-dev
	$(BIN)/ruff check --fix -q .
	$(BIN)/ruff format -q .
	$(BIN)/clang-format -i $(shell git ls-files '*.cpp' '*.h' '*.cu' '*.cuh')

bench: .env-dev
	for name in paste loader parts metrics step; do $(BIN)/python -m benchmarks.$$name --json $(RESULTS)/$$name-cpu.json || exit 1; done
	$(BIN)/python -m benchmarks.report $(RESULTS)/*-cpu.json

test-gpu: .env-dev
	$(PIP) install -q nvidia-cuda-sanitizer-api
	tests/gpu.sh $(BIN)/python

bench-gpu: .env-dev
	gpu=$$($(BIN)/python -c "import torch; print(torch.cuda.get_device_name().replace(' ', '-').lower())") && \
	for name in paste loader step; do $(BIN)/python -m benchmarks.$$name --device cuda --json $(RESULTS)/$$name-$$gpu.json || exit 1; done

clean:
	rm -rf .venv .env-train .env-dev build *.egg-info asda_fast/_C*.so .pytest_cache .ruff_cache .mypy_cache .hypothesis
