#!/bin/sh
# The mutation run of the core: some 820 mutants of Python and up to 42 of the kernels, an hour of a CPU; then what is left.
set -e
m="${PYTHON:-python} -m tools.mutation"
$m asda_fast/augment/placement.py asda_fast/augment/sampling.py asda_fast/core/random.py --most 80 \
    --tests tests/augment tests/ops/test_paste.py
$m asda_fast/data/plan.py asda_fast/data/crop.py --most 45 --tests tests/data
$m asda_fast/models/heatmaps.py asda_fast/models/coding.py asda_fast/models/simcc.py --most 20 \
    --tests tests/models/test_heatmaps.py tests/models/test_simcc.py tests/models/test_coding.py
$m asda_fast/metrics/pck.py asda_fast/metrics/oks.py asda_fast/metrics/coco.py --most 50 --tests tests/metrics
$m asda_fast/metrics/mpii.py asda_fast/metrics/lsp.py asda_fast/metrics/keypoints.py asda_fast/metrics/pck_tables.py \
    --most 15 --tests tests/metrics
$m asda_fast/core/skeletons.py asda_fast/core/skeleton.py asda_fast/core/skeleton_file.py --most 22 --tests tests/core
$m asda_fast/parts/scheme.py asda_fast/parts/types.py asda_fast/adversary/hardness.py \
    asda_fast/adversary/candidates.py --most 20 --tests tests/parts/test_scheme.py tests/adversary
$m asda_fast/ops/paste.py asda_fast/ops/paste_reference.py asda_fast/ops/paste_cpu.py \
    asda_fast/ops/paste_arguments.py --most 18 --tests tests/ops
$m.cpp kernels/paste_math.h kernels/paste_backward.cu kernels/paste_forward.cu --most 14
$m.report
