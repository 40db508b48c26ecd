"""Exact computation on small problems: what the paper's theorems say, where they hold and where they do not."""
