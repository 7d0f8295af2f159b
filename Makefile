# Two commands on a fresh machine: `make train` and `make test`. Each sets up what it needs.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TEST ?= tests
JOBS ?= 2
RESULTS := benchmarks/results

.PHONY: help env train test docs pins floor lint format bench wheel aarch64 gpu-check gpu-ablate gpu-pack clean

help:
	@echo "make train      set up, then train on the embedded demo set (runs/demo)"
	@echo "make test       set up, then run the tests (TEST=tests/ops for a part)"
	@echo "make docs       the site -> docs/build/index.html; warnings are errors"
	@echo "make pins       what pip would install for a stranger, asked of the package index"
	@echo "make lint       ruff, mypy, import-linter, clang-format;  make format mends what they can"
	@echo "make bench      the benchmarks on this CPU -> $(RESULTS), tables and plots"
	@echo "make gpu-check  all that needs a GPU, with what is installed -> build/gpu/ (ARGS='--seconds 470 --only paste')"
	@echo "make gpu-ablate what the adversary does to accuracy, in 15 minutes of a GPU (ROOT=data/lspet POOL=pool.safetensors)"
	@echo "make gpu-pack   wheels to carry to a GPU machine without a package index -> build/carry/"
	@echo "make wheel      sdist and a wheel of this Python -> dist/"
	@echo "make aarch64    the C++ parts for aarch64, under qemu: the bits of x86's portable path"

# One stamp per set of packages: made anew when what it was made from changes. A torch that is in .venv already stays, and
# decides which CUDA the rest is for.
.env-train: setup.py pyproject.toml constraints.txt CMakeLists.txt tools/extras.py $(wildcard csrc/* kernels/*.h)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -c 'import torch' 2>/dev/null || $(PIP) install -q -c constraints.txt torch
	$(PIP) install -q $$($(BIN)/python tools/extras.py train)
	touch $@

.env-dev: .env-train
	$(PIP) install -q $$($(BIN)/python tools/extras.py dev)
	touch $@

env: .env-dev

train: .env-train
	$(BIN)/python -m asda_fast.train --dataset demo --augment asda --pipeline dali --out runs/demo

test: .env-dev
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(TEST)

docs: .env-dev
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/build

pins: .env-dev
	$(BIN)/python -m pytest tests/packaging/test_pins.py -m network

# The lowest torch that pyproject.toml allows, in an environment of its own: gigabytes, so by hand, when the floor moves.
floor:
	test -x .venv-floor/bin/python || $(PYTHON) -m venv .venv-floor
	.venv-floor/bin/python -m pip install -q torch==$$(sed -n 's/.*"torch>=\([0-9.]*\)".*/\1/p' pyproject.toml)
	.venv-floor/bin/python -m pip install -q $$(.venv-floor/bin/python tools/extras.py dev)
	.venv-floor/bin/python -m pytest tests/ops tests/augment tests/models tests/pipelines tests/adversary tests/train

lint: .env-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/clang-format --dry-run --Werror $(shell git ls-files '*.cpp' '*.h' '*.cu' '*.cuh')

format: .env-dev
	$(BIN)/ruff check --fix -q .
	$(BIN)/ruff format -q .
	$(BIN)/clang-format -i $(shell git ls-files '*.cpp' '*.h' '*.cu' '*.cuh')

bench: .env-dev
	for name in paste loader parts metrics step; do $(BIN)/python -m benchmarks.$$name --json $(RESULTS)/$$name-cpu.json || exit 1; done
	$(BIN)/python -m benchmarks.report $(RESULTS)/*-cpu.json

# .venv where there is one, else the Python of the machine, as it is; pip only where something is missing.
gpu-check:
	python=$(BIN)/python; test -x $$python || python=$(PYTHON); \
	$$python -m benchmarks.gpu_check --ready || test -d build/carry || { make env && python=$(BIN)/python; } && \
	$$python -m benchmarks.gpu_check $(ARGS)

# HRNet-W32 at 96x96: the arms that tell most, all of a seed before the next, three runs at once. The same line goes on where
# it was stopped; ARGS=--dry-run lists the runs, and later options of ARGS win.
gpu-ablate:
	@test -n "$(ROOT)" -a -n "$(POOL)" || { echo "error: ROOT=: folder of LSP-extended, POOL=: pool of parts"; exit 2; }
	python=$(BIN)/python; test -x $$python || python=$(PYTHON); \
	test -d build/lsp-shards || $$python -m asda_fast.data pack --dataset lsp --root $(ROOT) --out build/lsp-shards && \
	$$python -m asda_fast ablate --arms telling --seeds 0 1 2 --seconds 840 --jobs 3 --dataset lsp --root build/lsp-shards \
	--pool $(POOL) --model hrnet_w32 --input 96x96 --epochs 100 --pipeline native --out build/gpu/ablate $(ARGS)

# An sdist, and from it a wheel of this Python. For all of cp310 to cp313 on x86-64 and aarch64: cibuildwheel (CONTRIBUTING.md).
wheel: .env-dev
	$(PIP) install -q build
	$(BIN)/python -m build

aarch64: .env-dev
	$(BIN)/python -m pytest tests/portable

gpu-pack:
	$(PYTHON) -m tools.gpu_pack $(ARGS)

clean:
	rm -rf .venv .env-train .env-dev build *.egg-info asda_fast/_C*.so .pytest_cache .ruff_cache .mypy_cache .hypothesis
