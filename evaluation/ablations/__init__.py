"""Ablations and sensitivity; `python -m evaluation.ablations --collected DIR --params JSON --out DIR`."""
