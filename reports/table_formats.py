"""Write tables as CSV with fractions, and as Markdown and LaTeX with rounded percent."""

from pathlib import Path
from typing import Any

import pandas as pd

from reports.csv_files import csv_text
from reports.tables import Table
from reports.tracked_runs import ADDRESS
from reports.wording import MISSING, parameter_symbol, parameter_value

_MATHEMATICS = {"±": r"\pm", "λ": r"\lambda", "μ": r"\mu", "ε": r"\varepsilon", "×": r"\times",
                "−": "-", "∞": r"\infty", "≥": r"\geq", "≤": r"\leq", "·": r"\cdot",
                "→": r"\to"}  # fmt: skip
_TEXT = {"\\": "backslash", "~": "asciitilde", "^": "asciicircum", "|": "bar", "<": "less",
         ">": "greater"}  # fmt: skip
_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    # After a line break LaTeX would read these two as options of it.
    | {character: f"{{{character}}}" for character in "[*"}
    | {character: rf"\text{name}{{}}" for character, name in _TEXT.items()}
    | {character: f"${symbol}$" for character, symbol in _MATHEMATICS.items()}
    | {"–": "--", "…": r"\ldots{}"}
)
_MARKDOWN = str.maketrans({c: f"\\{c}" for c in r"\`*_{}[]<>#|~$"} | {"&": "&amp;"})
_COMPANIONS = ("std", "low", "high", "seeds")
_PARAMETER = "param."


def write_table(table: Table, folder: Path, suffix: str = "") -> None:
    """Write ``NAME.csv``, ``NAME.md`` and ``NAME.tex`` into a folder, which is created.

    NAME is that of the table and the suffix. The CSV file has all columns with full precision, and
    nothing where a value is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents = {"csv": csv_text(table.frame), "md": to_markdown(table), "tex": to_latex(table)}
    for ending, text in contents.items():
        (folder / f"{table.name}{suffix}.{ending}").write_text(text, encoding="utf-8")


def displayed(table: Table) -> pd.DataFrame:
    """The table as text: percent where it holds fractions, estimates with their spread."""
    rows = table.frame.to_dict("records")
    columns = {}
    for name in _shown_columns(table):
        if name.startswith(_PARAMETER):
            key = name.removeprefix(_PARAMETER)
            columns[parameter_symbol(key)] = [parameter_value(key, row[name]) for row in rows]
            continue
        unit = table.fractions.get(name)
        scale, header = (100.0, f"{name} ({unit})") if unit else (1.0, name)
        if name in table.estimates:
            columns[header] = [_estimate(row, name, scale) for row in rows]
        else:
            columns[header] = [_cell(row[name], scale) for row in rows]
    return pd.DataFrame(columns)


def numeric_columns(table: Table) -> list[bool]:
    """The columns of `displayed` that hold numbers, and are aligned to the right."""
    types = [table.frame[name].dtype for name in _shown_columns(table)]
    return [pd.api.types.is_numeric_dtype(t) and not pd.api.types.is_bool_dtype(t) for t in types]


def _shown_columns(table: Table) -> list[str]:
    """All columns but companions of estimates, fixed parameters, and a lone search's name."""
    hidden = {f"{name} {end}" for name in table.estimates for end in _COMPANIONS}
    hidden.add(ADDRESS)  # the page links its rows there
    names = [str(name) for name in table.frame.columns]
    searched = {f"{_PARAMETER}{key}" for key in table.parameters}
    hidden |= {name for name in names if name.startswith(_PARAMETER) and name not in searched}
    if "search" in names and table.frame["search"].nunique() < 2:
        hidden.add("search")
    return [name for name in names if name not in hidden]


def to_markdown(table: Table) -> str:
    """A GitHub table under its caption."""
    frame, right = displayed(table), numeric_columns(table)
    rule = ["---:" if number else "---" for number in right]
    rows = [[_markdown(cell) for cell in row] for row in (frame.columns, *frame.to_numpy())]
    lines = [f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:])]
    return f"{_markdown(table.caption)}\n\n" + "\n".join(lines) + "\n"


def to_latex(table: Table) -> str:
    """A table for the LaTeX package booktabs."""
    frame = displayed(table)
    alignment = "".join("r" if number else "l" for number in numeric_columns(table))
    header, *body = [
        " & ".join(latex_escape(cell) for cell in row) + r" \\"
        for row in (frame.columns, *frame.to_numpy())
    ]
    return rf"""\begin{{table}}
\centering
\caption{{{latex_escape(table.caption)}}}
\begin{{tabular}}{{{alignment}}}
\toprule
{header}
\midrule
{"".join(f"{line}{chr(10)}" for line in body)}\bottomrule
\end{{tabular}}
\end{{table}}
"""


def latex_escape(text: str) -> str:
    """Escape text from a file for LaTeX."""
    return " ".join(text.split()).translate(_LATEX)


def _markdown(text: str) -> str:
    return " ".join(text.split()).translate(_MARKDOWN)


def _estimate(row: dict[Any, Any], name: str, scale: float) -> str:
    std, low, high, seeds = (row.get(f"{name} {end}") for end in _COMPANIONS)
    text = _cell(row[name], scale)
    if std is not None and not pd.isna(std):
        text += f" ± {_cell(std, scale)}"
    if low is not None and not pd.isna(low):
        text += f" [{_cell(low, scale)}, {_cell(high, scale)}]"
    if seeds is not None and not pd.isna(seeds) and 0 < seeds < row["seeds"]:
        text += f" (n = {seeds})"
    return text


def _cell(value: Any, scale: float) -> str:
    if pd.isna(value):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    return f"{scale * value:.1f}" if scale != 1 else f"{value:.4g}"
