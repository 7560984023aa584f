"""Benchmarks: `problems` with known truth, `scoring` of estimators on them; `accuracy` and `speed` are programs."""
