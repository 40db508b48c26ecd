"""The tables of a size, one module each; `python -m evaluation.tables` writes them all."""
