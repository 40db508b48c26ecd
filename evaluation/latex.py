"""A table of texts as a LaTeX float to paste: the title above, the notes below, turned where it is wide.

Needs the packages `array`, `booktabs`, `graphicx` and `rotating` (preamble: `docs/reading_the_report.md`). A table is
scaled down to the text of the page, never up; sentences and long headings are broken into lines, to stay legible.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

Row = tuple[str, Sequence[str] | str]  # label, and the cells or one text across them (a run that failed)

LONG = 40  # characters; longer cells are broken into lines of about that many
SENTENCES = r">{\raggedright\arraybackslash}p{18em}"
SMALL = 0.6  # of the size of the text: smaller than this a table is turned, if that leaves it larger
CHARACTER, LINE = 4.8, 12.5  # points, about
WIDTH, HEIGHT, NOTES = 345.0, 550.0, 100.0  # points: the text of an article, and what title and notes take of it

_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon", "η": "eta", "θ": "theta", "κ": "kappa",
    "λ": "lambda", "μ": "mu", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "varphi", "Δ": "Delta",
}  # fmt: skip
_SIGNS = {"≤": "leq", "≥": "geq", "±": "pm", "×": "times", "→": "to", "←": "leftarrow", "∞": "infty", "·": "cdot"}
_TEX = {
    **{sign: "\\" + sign for sign in "&%$#_{}"},
    **{sign: rf"$\{name}$" for sign, name in (_GREEK | _SIGNS).items()},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$",
    "|": "$|$", '"': "''", "`": r"\textasciigrave{}", "–": "--", "—": "---", "…": r"\dots{}",
    "\N{MINUS SIGN}": "$-$", "\N{NARROW NO-BREAK SPACE}": r"\,",
}  # fmt: skip
# A minus is longer than a hyphen, and a % sign keeps to its number.
_SPELLED = {
    "<=": "≤", ">=": "≥", r"(?<![\w.)\]])-(?=\d)": "\N{MINUS SIGN}", " - ": " \N{MINUS SIGN} ",
    r"(?<=\d) %": "\N{NARROW NO-BREAK SPACE}%",
}  # fmt: skip


def escape(text: str) -> str:
    """Any text as LaTeX that prints it, on one line."""
    text = " ".join(text.split())
    for pattern, sign in _SPELLED.items():
        text = re.sub(pattern, sign, text)
    return "".join(_TEX.get(sign, sign) for sign in text)


def float_of(
    name: str, title: str, notes: str, heading: Sequence[str], groups: Sequence[tuple[str, Sequence[Row]]]
) -> str:
    """The `table` or `sidewaystable`; `heading` has a text per column of cells, `groups` a title and rows each."""
    rows = [row for _, rows in groups for row in rows]
    whole = [texts for _, texts in rows if not isinstance(texts, str)]
    columns = [[label for label, _ in rows], *([texts[i] for texts in whole] for i in range(len(heading)))]
    heads = [_broken(head, texts) for head, texts in zip(["", *heading], columns, strict=True)]
    around, boxes = _placed(heads, columns, rows, 2 * len(groups))
    forms = [_form(texts, "l" if i == 0 else "r") for i, texts in enumerate(columns)]
    lines = [rf"\begin{{{around}}}", r"\centering", rf"\caption{{{escape(title)}}}"]
    lines += [rf"\label{{tab:{name.replace('_', '-')}}}", boxes, rf"\begin{{tabular}}{{{''.join(forms)}}}", r"\toprule"]
    lines.append(" & ".join(map(_heading, heads)) + r" \\")
    for group, members in groups:
        lines.append(r"\midrule")
        if group:
            lines.append(rf"\multicolumn{{{len(columns)}}}{{l}}{{\emph{{{escape(group)}}}}} \\")
        lines += [_row(label, cells, len(heading)) for label, cells in members]
    lines += [r"\bottomrule", r"\end{tabular}}}", r"\par\smallskip"]
    lines += [rf"\parbox{{\linewidth}}{{\footnotesize {escape(notes)}}}", rf"\end{{{around}}}"]
    return "\n".join(lines) + "\n"


def _placed(heads: list[list[str]], columns: list[list[str]], rows: Sequence[Row], between: int) -> tuple[str, str]:
    """The float, and the beginning of the two boxes that scale the table down to its width and height."""
    longest = [max(map(len, [*head, *texts])) for head, texts in zip(heads, columns, strict=True)]
    wide = CHARACTER * sum(min(LONG, length) + 2 for length in longest)
    high = LINE * (sum(map(_lines, rows)) + max(map(len, heads)) + between)
    upright, turned = min(WIDTH / wide, (HEIGHT - NOTES) / high), min(HEIGHT / wide, (WIDTH - NOTES) / high)
    around, room = ("table", r"0.8\textheight") if upright > min(SMALL, turned) else ("sidewaystable", r"0.7\textwidth")
    height = rf"\ifdim\totalheight>{room} {room}\else\totalheight\fi"
    width = r"\ifdim\width>\linewidth \linewidth\else\width\fi"
    return around, rf"\resizebox*{{!}}{{{height}}}{{\resizebox{{{width}}}{{!}}{{%"


def _lines(row: Row) -> int:
    label, cells = row
    return max(1, *(-(-len(text) // LONG) for text in ([label, cells] if isinstance(cells, str) else [label, *cells])))


def _broken(head: str, texts: list[str]) -> list[str]:
    """A heading in lines hardly longer than the column's cells."""
    return textwrap.wrap(head, max(10, *map(len, texts)), break_long_words=False) if texts and head else [head]


def _heading(lines: list[str]) -> str:
    text = r"\\".join(map(escape, lines))
    return text if len(lines) == 1 else rf"\shortstack[r]{{{text}}}"


def _form(texts: list[str], numbers: str) -> str:
    """How a column is set: sentences in lines, words to the left, numbers where they are told."""
    if any(len(text) > LONG for text in texts):
        return SENTENCES
    return numbers if any(re.match(r"-?\d", text) for text in texts) else "l"


def _row(label: str, cells: Sequence[str] | str, many: int) -> str:
    """A line; the break before it would read a `[` or `*` at its beginning as its own."""
    label = ("{}" if label.startswith(("[", "*")) else "") + escape(label)
    if not isinstance(cells, str):
        return " & ".join([label, *map(escape, cells)]) + r" \\"
    form = SENTENCES if len(cells) > LONG else "l"
    return rf"{label} & \multicolumn{{{many}}}{{{form}}}{{{escape(cells)}}} \\"
