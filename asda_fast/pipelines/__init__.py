"""Plan in, batches out: `native` (threads and C++) and `dali` turn the same plan into the same batches."""
