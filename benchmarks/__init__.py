"""Every workload timed side by side with what people would use instead: ``python -m benchmarks.run --quick``."""
