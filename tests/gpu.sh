#!/bin/sh
# All that needs a GPU, for `make test-gpu`: fails, not skips, where there is no GPU or no compute-sanitizer.
# Usage: tests/gpu.sh [PYTHON]; logs go to build/gpu/.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${1:-python}
LOGS=build/gpu
export ASDA_FAST_REQUIRE_CUDA=1
mkdir -p "$LOGS"

# On PATH with the CUDA toolkit, or from pip (nvidia-cuda-sanitizer-api).
SANITIZER=$(command -v compute-sanitizer) || SANITIZER=$("$PYTHON" -c 'import sysconfig
from pathlib import Path
print(next(Path(sysconfig.get_path("purelib"), "nvidia").glob("**/compute-sanitizer/compute-sanitizer"), ""))')
if [ ! -x "$SANITIZER" ]; then
    echo "error: compute-sanitizer: expected on PATH or from 'pip install nvidia-cuda-sanitizer-api', found neither" >&2
    exit 2
fi
"$PYTHON" -c 'import cupy, torch
if not torch.cuda.is_available():
    raise SystemExit("error: torch sees no GPU")
print(torch.cuda.get_device_name(), "torch", torch.__version__, "cupy", cupy.__version__)'

# This also fills CuPy's cache with the compiled kernels, so that the slow runs below need not compile.
"$PYTHON" -m pytest tests -m cuda --junitxml "$LOGS/cuda.xml"

# Every tensor in an allocation of its own, so that what lies behind its end is not its neighbour.
export PYTORCH_NO_CUDA_MEMORY_CACHING=1
for TOOL in memcheck racecheck synccheck; do
    echo "compute-sanitizer --tool $TOOL"
    "$SANITIZER" --tool "$TOOL" --kernel-name kernel_substring=paste_ --report-api-errors no --error-exitcode 1 \
        --log-file "$LOGS/$TOOL.log" \
        "$PYTHON" -m pytest -q -x tests/ops/test_cuda_gpu.py -k "same_as_cpu or slots" || { cat "$LOGS/$TOOL.log"; exit 1; }
    tail -n 1 "$LOGS/$TOOL.log"
done
