"""Costs as ratios: each file measures one comparison, `timing` repeats and times, `page` writes docs/benchmarks.md."""
