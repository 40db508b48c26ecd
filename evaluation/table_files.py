"""One table as data, and its three files: CSV for machines, Markdown and LaTeX for people.

The CSV is tidy: one line per cell with estimate, interval, counts and unit. Markdown and LaTeX print the same
cells as `71.2 [68.0, 74.1]` under a caption that says what the numbers are. Equal input gives equal bytes.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from evaluation import latex, lineage
from evaluation.statistics import Estimate
from training.errors import UserError

CSV_HEADER = ["group", "row", "column", "unit", "estimate", "low", "high", "prompts", "samples", "seeds", "text"]
MISSING = "\N{EN DASH}"

Cell = Estimate | float | str | None  # a plain number is a bound, a count or a p-value, never a bare mean


@dataclass(frozen=True)
class Column:
    """A column: its key in the CSV, heading, unit and decimals. `printed=False` keeps it to the CSV.

    `compared`: its cells rest on the other rows of their group as well.
    """

    key: str
    heading: str
    unit: str = ""
    digits: int = 1
    printed: bool = True
    compared: bool = False

    def show(self, cell: Cell) -> str:
        """A cell as people read it; estimates are already in the column's unit."""
        if cell is None:
            return MISSING
        if isinstance(cell, str):
            return cell
        if isinstance(cell, float):
            return _number(cell, self.digits)
        mean, low, high = (_number(value, self.digits) for value in (cell.mean, cell.low, cell.high))
        return f"{mean} [{low}, {high}]" if cell.has_interval else f"{mean} (no interval)"


@dataclass(frozen=True)
class Line:
    """A row; `gap`, where set, is printed across the row instead of cells ("failed: why").

    `marks` are printed after the cells of their columns, e.g. "*"; the caption says what they mean. `runs` are the
    ids of the runs that the cells rest on.
    """

    label: str
    cells: dict[str, Cell] = field(default_factory=dict)
    gap: str = ""
    marks: dict[str, str] = field(default_factory=dict)
    runs: tuple[str, ...] = ()

    def show(self, column: Column) -> str:
        """The cell of a column as people read it, with its mark."""
        return column.show(self.cells.get(column.key)) + self.marks.get(column.key, "")


@dataclass(frozen=True)
class Table:
    """A named table: lines in titled groups under common columns."""

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    groups: tuple[tuple[str, tuple[Line, ...]], ...]

    @property
    def printed(self) -> tuple[Column, ...]:
        """The columns of the human forms."""
        return tuple(column for column in self.columns if column.printed)

    @property
    def runs(self) -> tuple[str, ...]:
        """Ids of all runs that the table rests on."""
        return lineage.union(line.runs for _, lines in self.groups for line in lines)

    @property
    def sources(self) -> str:
        """The line that ends every form of the table."""
        return lineage.line(self.runs)


def _number(value: float, digits: int) -> str:
    """Fixed decimals; an exponent where those would show nothing, but not for rounding errors below 1e-6."""
    if abs(value) >= 1e6 or (digits > 2 and 1e-6 <= abs(value) < 0.5 * 10**-digits):
        return f"{value:.2e}"
    return f"{value:.{digits}f}".replace("-0." + "0" * digits, "0." + "0" * digits)


def to_csv(table: Table) -> str:
    """The tidy long form: one line per cell, full precision; the last line names the runs as its text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for group, lines in table.groups:
        for line in lines:
            for column in table.columns:
                cell = line.cells.get(column.key)
                numbers: list[object] = [""] * 6
                if isinstance(cell, Estimate):
                    bounds = [repr(v) if cell.has_interval else "" for v in (cell.low, cell.high)]
                    numbers = [repr(cell.mean), *bounds, cell.prompts or "", cell.samples or "", cell.seeds]
                elif isinstance(cell, float):
                    numbers[0] = repr(cell)
                shown = line.gap or line.show(column)
                writer.writerow([group, line.label, column.key, column.unit, *numbers, shown])
    writer.writerow(["", "Runs", "runs", *[""] * 7, table.sources])
    return text.getvalue()


def read_cells(path: Path) -> list[dict[str, str]]:
    """The lines of a table's CSV, in order, as `to_csv` wrote them; `UserError` where it is none of those."""
    remedy = f"delete {path.parent} and run make tables with its SIZE"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            header, lines = reader.fieldnames, list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error}); {remedy}") from error
    if header != CSV_HEADER or any(None in line or None in line.values() for line in lines):
        raise UserError(f"{path} is no table as evaluation.tables writes it; {remedy}")
    return lines


def to_markdown(table: Table) -> str:
    """A title, the caption, one pipe table (groups are rows in bold) and the line that names the runs."""
    columns = table.printed
    rows = [["", *(column.heading for column in columns)], [":--", *("--:" for _ in columns)]]
    for group, lines in table.groups:
        if group:
            rows.append([f"**{group}**", *("" for _ in columns)])
        for line in lines:
            cells = [line.show(column) for column in columns]
            shown = [line.gap, *[""] * (len(columns) - 1)] if line.gap else cells
            rows.append([line.label, *shown])
    return f"## {_line(table.title)}\n\n{_line(table.caption)}\n\n{pipe_table(rows)}\n\n{_md(table.sources)}\n"


def pipe_table(rows: Iterable[Iterable[str]]) -> str:
    """Rows of a Markdown table, the second being the line under the heading; every text is escaped."""
    return "\n".join("| " + " | ".join(map(_md, row)) + " |" for row in rows)


def to_latex(table: Table) -> str:
    """A float for LaTeX; every text is escaped."""
    columns = table.printed
    groups = [
        (group, [(row.label, row.gap or [row.show(column) for column in columns]) for row in rows])
        for group, rows in table.groups
    ]
    heading = [column.heading for column in columns]
    return latex.float_of(table.name, table.title, f"{table.caption} {table.sources}", heading, groups)


def files(tables: Iterable[Table]) -> dict[str, str]:
    """File name to content for CSV, Markdown and LaTeX."""
    forms: dict[str, Callable[[Table], str]] = {"csv": to_csv, "md": to_markdown, "tex": to_latex}
    return {f"{table.name}.{end}": form(table) for table in tables for end, form in forms.items()}


def replace_folder(out: Path, files: dict[str, str]) -> None:
    """Make `out` hold exactly these files, by one rename: a stopped job leaves the old folder whole."""
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    for name, text in files.items():
        (fresh / name).write_text(text, encoding="utf-8", newline="\n")
    fresh.chmod(0o755)
    if out.exists():
        retired = Path(tempfile.mkdtemp(prefix=f".{out.name}-old-", dir=out.parent))
        out.rename(retired / out.name)
        fresh.rename(out)
        shutil.rmtree(retired)
    else:
        fresh.rename(out)


def _md(text: str) -> str:
    return _line(text).replace("\\", "\\\\").replace("|", "\\|")


def _line(text: str) -> str:
    """On one line, whatever ends lines elsewhere (U+2028, a form feed)."""
    return " ".join(text.split())


@dataclass(frozen=True)
class Printed:
    """A table as people read it, taken back from its Markdown: texts only."""

    name: str
    title: str
    caption: str
    heading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    sources: str

    @property
    def sentences(self) -> set[int]:
        """The columns that hold sentences; a text across the row (a run that failed) is none of them."""
        whole = [row for row in self.rows if any(row[2:]) or len(row) == 2]
        return {i for row in whole for i, cell in enumerate(row) if len(cell) > latex.LONG}


def read_markdown(path: Path) -> Printed:
    """The inverse of `to_markdown`, so that the report shows the very cells of the table files.

    Raises `UserError` where the file is not one of those.
    """
    remedy = f"delete {path.parent} and run make tables with its SIZE"
    try:
        title, text, *pipes, ending = [line for line in path.read_text(encoding="utf-8").split("\n") if line]
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no table as evaluation.tables writes it ({error}); {remedy}") from error
    rows = [_split(line) for line in pipes]
    if len(rows) < 2 or len({len(row) for row in rows}) > 1:
        raise UserError(f"{path} is no table as evaluation.tables writes it: rows differ in cells; {remedy}")
    return Printed(path.stem, title.removeprefix("## "), text, rows[0], tuple(rows[2:]), _unescaped(ending))


def _split(line: str) -> tuple[str, ...]:
    """Cells of a pipe row, unescaped."""
    cells = line.removeprefix("| ").removesuffix(" |").split(" | ")  # within a cell it is " \\| "
    return tuple(_unescaped(cell.strip()) for cell in cells)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
