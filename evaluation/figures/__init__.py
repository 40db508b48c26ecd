"""Figures of a size, one module each; `python -m evaluation.figures --collected DIR --out DIR`."""
