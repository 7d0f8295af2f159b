"""Plan in, batches out: `native` (threads and C++) and `dali` turn the same plan into the same batches."""

from asda_fast.core.registry import Registry

PIPELINES = Registry(
    "pipeline",
    {"dali": "asda_fast.pipelines.dali:DaliPipeline", "native": "asda_fast.pipelines.native:NativePipeline"},
)
