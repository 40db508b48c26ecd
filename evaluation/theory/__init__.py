"""Exact computation on small problems: where the paper's theorems hold and where they do not."""
