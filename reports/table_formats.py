"""Tables as files: CSV with fractions, Markdown and LaTeX with rounded percent."""

import re
from pathlib import Path
from typing import Any

import pandas as pd

from reports.csv_files import csv_text
from reports.tables import Table
from reports.wording import MISSING, parameter_symbol, parameter_value

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    # After a line break these two would be its options.
    "[": "{[}",
    "*": "{*}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "–": "--",
    "λ": r"$\lambda$",
    "μ": r"$\mu$",
    "ε": r"$\varepsilon$",
    "×": r"$\times$",
    "−": "$-$",
    "∞": r"$\infty$",
    "≥": r"$\geq$",
    "→": r"$\to$",
    "…": r"\ldots{}",
}
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~$])")
_COMPANIONS = ("std", "low", "high", "seeds")
_PARAMETER = "param."


def write_table(table: Table, folder: Path) -> list[Path]:
    """Write ``NAME.csv``, ``NAME.md`` and ``NAME.tex`` into the folder; the paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {"csv": to_csv(table), "md": to_markdown(table), "tex": to_latex(table)}
    paths = []
    for suffix, text in contents.items():
        paths.append(folder / f"{table.name}.{suffix}")
        paths[-1].write_text(text, encoding="utf-8")
    return paths


def to_csv(table: Table) -> str:
    """All columns, fractions, full precision; missing values are empty."""
    return csv_text(table.frame)


def displayed(table: Table) -> pd.DataFrame:
    """The table as text: percent where it holds fractions, estimates with their spread."""
    rows = table.frame.to_dict("records")
    return pd.DataFrame(
        {
            _header(table, name): [_shown(table, name, row) for row in rows]
            for name in _shown_columns(table)
        }
    )


def _header(table: Table, name: str) -> str:
    if name.startswith(_PARAMETER):
        return parameter_symbol(name.removeprefix(_PARAMETER))
    return f"{name} ({table.fractions[name]})" if name in table.fractions else name


def _shown(table: Table, name: str, row: dict[Any, Any]) -> str:
    if name.startswith(_PARAMETER):
        return parameter_value(name.removeprefix(_PARAMETER), row[name])
    scale = 100.0 if name in table.fractions else 1.0
    if name in table.estimates:
        return _estimate(row, name, scale)
    return _cell(row[name], scale)


def numeric_columns(table: Table) -> list[bool]:
    """Which columns of `displayed` hold numbers, so that they are aligned to the right."""
    types = [table.frame[name].dtype for name in _shown_columns(table)]
    return [pd.api.types.is_numeric_dtype(t) and not pd.api.types.is_bool_dtype(t) for t in types]


def _shown_columns(table: Table) -> list[str]:
    """All but companions of estimates, fixed parameters, and the search where there is one."""
    hidden = {f"{name} {end}" for name in table.estimates for end in _COMPANIONS}
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
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex_escape(table.caption)}}}",
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        header,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def latex_escape(text: str) -> str:
    """Text from a file as LaTeX text."""
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


def _markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split())).replace("&", "&amp;")


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
