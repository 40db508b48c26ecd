"""Figures: files, what is drawn, one look per method, byte stability."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer

from evaluation import measures
from evaluation.collected import Collected, read
from evaluation.figures import __main__ as figures
from evaluation.figures import curves, equal_compute, kl_distribution, pareto, score_vs_kl, win_rates
from evaluation.figures.style import COLOURS, looks, save
from tests.unit.synthetic import lose, write_collected

NAMES = ("score_vs_kl", "pareto", "win_rates", "curves", "equal_compute", "kl_distribution")


@pytest.fixture(scope="module")
def size(tmp_path_factory: pytest.TempPathFactory) -> Collected:
    return read(write_collected(tmp_path_factory.mktemp("collected"), prompts=10, steps=4, failed=("minillm",)))


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    plt.close("all")


def test_every_figure_is_written_as_png_and_pdf_with_its_caption(tmp_path: Path) -> None:
    collected = write_collected(tmp_path / "collected", seeds=1, prompts=5, steps=2)
    out = tmp_path / "figures"
    figures.main(["--collected", str(collected), "--out", str(out)])
    expected = {f"{name}.{end}" for name in NAMES for end in ("png", "pdf")} | {"captions.json"}
    assert {path.name for path in out.iterdir()} == expected
    captions = json.loads((out / "captions.json").read_text(encoding="utf-8"))
    assert list(captions) == list(NAMES)
    for about in captions.values():
        assert "n = " in about["caption"]
        assert "d = 0.2" in about["caption"]


def test_runs_that_are_missing_are_named(size: Collected) -> None:
    """In the legend or beside the axis where a row is drawn from fewer runs; a row without any in the caption alone."""
    fewer = lose(size, "CMDP")
    for drawn in figures.draw_all(fewer):
        assert "Runs are missing: " in drawn.caption
        assert "CMDP (1 of 3 runs)" in drawn.caption
        assert "Mini-LLM (failed: " in drawn.caption
    for module in (score_vs_kl, curves, kl_distribution):
        texts = [text.get_text() for text in module.draw(fewer).figure.legends[0].get_texts()]
        assert "CMDP (1 of 3 runs)" in texts
    assert "CMDP (1 of 3 runs)" in [tick.get_text() for tick in win_rates.draw(fewer).figure.axes[0].get_yticklabels()]


def test_a_dollar_in_a_reason_or_a_name_is_a_dollar(tmp_path: Path) -> None:
    """It must not begin a formula, which might not be one: all figures would be lost to one failed run."""
    folder = write_collected(tmp_path, seeds=2, prompts=5, steps=2, failed=("gkd",))
    index = (folder / "runs.json").read_text().replace("loss became infinite", r"no number in $\\tfoo$")
    (folder / "runs.json").write_text(index.replace('"Longer chains"', r'"Longer $\\foo$"'))
    figures.main(["--collected", str(folder), "--out", str(tmp_path / "figures")])
    captions = json.loads((tmp_path / "figures" / "captions.json").read_text())
    assert r"no number in $\tfoo$" in captions["pareto"]["caption"]


def test_equal_input_gives_equal_bytes(size: Collected, tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        save(score_vs_kl.draw(size), tmp_path / name)
    for end in ("png", "pdf"):
        file = f"score_vs_kl.{end}"
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_points_stand_at_the_table_values_and_d_is_drawn(size: Collected) -> None:
    axis = score_vs_kl.draw(size).figure.axes[0]
    row = size.row("world", "gkd")
    assert row is not None
    kl, correct = size.stacked(row, "same", "kl_mean"), size.stacked(row, "same", "correct")
    assert kl is not None
    assert correct is not None
    bars = [c for c in axis.containers if isinstance(c, ErrorbarContainer)]
    points = {c.get_label(): np.asarray(c.lines[0].get_xydata())[0] for c in bars}
    assert points["GKD"] == pytest.approx([kl.mean(), 100 * correct.mean()])
    assert "Mini-LLM" not in points
    assert any(np.array_equal(np.asarray(line.get_xdata()), [0.2, 0.2]) for line in axis.lines)


def test_a_collapsed_run_does_not_squeeze_the_rest(size: Collected) -> None:
    axis = score_vs_kl.draw(size).figure.axes[0]
    assert axis.get_xscale() == "linear"
    axis.set_xlim(0, 5)
    score_vs_kl.fold(axis, "x", 0.2)
    near = axis.transData.transform([(0.0, 0.0), (0.2, 0.0)])[:, 0]
    assert (near[1] - near[0]) / axis.bbox.width > 0.15


def test_a_method_keeps_its_colour_and_settings_are_its_shades(size: Collected) -> None:
    rows = size.rows("world", "method", "reference")
    found = looks(rows)
    assert found["CMDP"].colour == COLOURS["cmdp"]
    assert looks(size.rows("world", "method"))["CMDP"] == found["CMDP"]
    grid = [look for label, look in found.items() if label.startswith("GKD-GRPO")]
    assert len({look.colour for look in grid}) == len({look.marker for look in grid}) == 4
    assert len({(look.colour, look.marker) for look in found.values()}) == len(found)


def test_win_rates_say_which_row_failed(size: Collected) -> None:
    figure = win_rates.draw(size).figure
    assert "failed" in [text.get_text() for text in figure.axes[0].texts]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()][-1] == "Mini-LLM"


def test_curves_are_means_over_seeds_of_means_over_responses(size: Collected) -> None:
    row = size.row("world", "cmdp")
    assert row is not None
    own = size.curves[size.curves["run"].isin([run.run for run in row.runs]) & (size.curves["step"] == 10)]
    table = curves.by_seed(size, row)
    at = table[table["step"] == 10]
    assert at["satisfied"].mean() == pytest.approx(100 * (own["kl_mean"] <= 0.2).mean())
    line = next(li for li in curves.draw(size).figure.axes[1].lines if li.get_label() == "CMDP")
    assert np.asarray(line.get_ydata())[1] == pytest.approx(own["kl_mean"].mean())


def test_the_distribution_crosses_d_at_the_satisfaction(size: Collected) -> None:
    drawn = kl_distribution.draw(size)
    finished = {run.run for run in size.runs if run.kind != "control" and run.status == "ok"}
    assert finished - set(drawn.runs) == {"world-teacher-0"}
    axis = drawn.figure.axes[0]
    step = next(line for line in axis.lines if line.get_label() == "GRPO")
    x, y = np.asarray(step.get_xdata()), np.asarray(step.get_ydata())
    row = size.row("world", "grpo")
    assert row is not None
    kl = size.stacked(row, "same", "kl_mean")
    assert kl is not None
    assert y[x <= 0.2].max(initial=0.0) == pytest.approx(100 * np.mean(kl <= 0.2))


def test_d_stays_in_view_where_every_divergence_is_far_below_it(tmp_path: Path) -> None:
    folder = write_collected(tmp_path, seeds=1, prompts=5, steps=2)
    index = json.loads((folder / "runs.json").read_text(encoding="utf-8"))
    index["pairs"]["world"]["threshold"]["d"] = 7.0
    (folder / "runs.json").write_text(json.dumps(index), encoding="utf-8")
    far = read(folder)
    assert curves.draw(far).figure.axes[1].get_ylim()[1] > 7.0
    for module in (score_vs_kl, kl_distribution):
        low, high = module.draw(far).figure.axes[0].get_xlim()
        assert low < 7.0 < high


def test_a_line_for_d_is_promised_where_it_is_drawn(size: Collected, tmp_path: Path) -> None:
    folder = write_collected(tmp_path, seeds=1, prompts=5, steps=2)
    index = json.loads((folder / "runs.json").read_text(encoding="utf-8"))
    index["pairs"]["world"]["reading"] = "sum"
    (folder / "runs.json").write_text(json.dumps(index), encoding="utf-8")
    other = read(folder)
    for module in (score_vs_kl, pareto, curves, equal_compute):
        for drawn, said in ((module.draw(size), True), (module.draw(other), False)):
            assert ("dashed: d" in drawn.caption.lower()) is said
            assert ("2 d" in drawn.caption) is said
            assert ("d = 0.2" in [text.get_text() for axis in drawn.figure.axes for text in axis.texts]) is said


def test_the_front_ends_at_the_best_row_and_leaves_the_view_alone(size: Collected) -> None:
    plain, drawn = score_vs_kl.draw(size).figure.axes[0], pareto.draw(size).figure.axes[0]
    step = next(line for line in drawn.lines if line.get_drawstyle() == "steps-post")
    best = max(
        100 * found.mean
        for row in size.rows("world", "method")
        if (found := measures.fac(size, row, "same")) is not None
    )
    assert np.asarray(step.get_ydata())[-1] == pytest.approx(best)
    assert np.asarray(step.get_xdata())[-1] <= drawn.get_xlim()[1]
    assert plain.get_ylim()[0] <= drawn.get_ylim()[0]
    assert (np.diff(np.asarray(step.get_ydata())) >= 0).all()


def test_equal_compute_runs_over_operations_with_the_budget_drawn(size: Collected) -> None:
    axis = equal_compute.draw(size).figure.axes[1]
    line = next(line for line in axis.lines if line.get_label() == "CMDP")
    assert np.asarray(line.get_xdata()) == pytest.approx(np.array([0, 10, 20, 30]) * 3.2 / 500)
    budget = [li for li in axis.lines if li.get_linestyle() == ":"]
    assert float(np.asarray(budget[0].get_xdata())[0]) == pytest.approx(30 * 3.2 / 500)
