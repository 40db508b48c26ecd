"""All figures of a size as PNG and PDF.

    python -m evaluation.figures --collected results/built/micro/collected --out figures

Also writes `captions.json`, which the report reads. Equal input gives equal bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from evaluation.across import across_pairs
from evaluation.collected import Collected, read
from evaluation.figures import across_pairs as over_pairs
from evaluation.figures import curves, equal_compute, kl_distribution, pareto, score_vs_kl, win_rates
from evaluation.figures.style import Drawn, save, save_captions
from training.errors import cli


def draw_all(size: Collected) -> list[Drawn]:
    """Every figure, in the order in which the report shows them."""
    modules = (score_vs_kl, pareto, win_rates, curves, equal_compute, kl_distribution)
    whole = across_pairs(size)
    return [*(module.draw(size) for module in modules), *([over_pairs.draw(whole)] if whole else [])]


def main(argv: list[str] | None = None) -> None:
    """Command line: `--collected DIR --out DIR`."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.figures", description=__doc__)
    parser.add_argument("--collected", required=True, type=Path, help="folder written by evaluation.collect")
    parser.add_argument("--out", required=True, type=Path, help="folder for PNG, PDF and captions.json")
    given = parser.parse_args(argv)
    drawn = draw_all(read(given.collected))
    given.out.mkdir(parents=True, exist_ok=True)
    for figure in drawn:
        save(figure, given.out)
    save_captions(drawn, given.out)


if __name__ == "__main__":
    cli(main)
