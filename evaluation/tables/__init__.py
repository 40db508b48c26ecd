"""The tables of a size, one module each; `python -m evaluation.tables` writes them all."""

from evaluation.table_files import files

__all__ = ["files"]
