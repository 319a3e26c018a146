"""Figures and tables as the template of the page shows them; their files are written beside it."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from plotly.io.json import to_json_plotly

from reports.figures import ReportFigure, interactive
from reports.figures.chart import Cells, Chart
from reports.figures.heat_table import heat_rows
from reports.figures.print_files import FigureFiles, write_figure
from reports.table_formats import displayed, numeric_columns, write_table
from reports.tables import Table
from reports.tracked_runs import ADDRESS
from reports.wording import MISSING

_LINKED = ("trial", "role", "setting")
View = dict[str, Any]  # a figure or a table, as the template shows it


def save_figure(
    figure: ReportFigure, out_dir: Path, suffix: str, wanted: FigureFiles = "usual"
) -> View:
    """Write the files of a figure to ``out_dir/figures``, and view it."""
    stem = f"figures/{figure.name}{suffix}"
    chart = figure.drawing if isinstance(figure.drawing, Chart) else None
    written = write_figure(figure.drawing, out_dir / stem, wanted)
    encoded = base64.b64encode(written.picture).decode("ascii")
    cells = [m for p in (chart.panels if chart else ()) for m in p.marks if isinstance(m, Cells)]
    plots = interactive.draw(chart) if chart and not cells else []
    return {
        "name": f"{figure.name}{suffix}",
        "title": figure.title,
        "caption": figure.caption,
        "files": [(label, f"{stem}{ending}") for label, ending in written.files],
        # No JSON may end the script element around it.
        "plots": [
            {
                "json": Markup(str(to_json_plotly(plot)).replace("<", "\\u003c")),  # noqa: S704
                "has_switch": "focus" in plot["layout"].get("meta", {}),
                "rulers": plot["layout"].get("meta", {}).get("rulers", ()),
                "height": plot["layout"]["height"],
            }
            for plot in plots
        ],
        "heat": [(mark.columns, heat_rows(mark)) for mark in cells],
        # For a figure without an interactive form.
        "image": "" if chart else f"data:image/png;base64,{encoded}",
    }


def save_table(table: Table, out_dir: Path, suffix: str) -> View:
    """Write a table as CSV, Markdown and LaTeX below ``out_dir/tables``, and view it."""
    write_table(table, out_dir / "tables", suffix)
    frame = displayed(table)
    numeric = numeric_columns(table)
    # A column without any value says nothing to a reader; the files have it.
    kept = [i for i, name in enumerate(frame) if (~frame[name].isin(("", MISSING))).any()]
    linked = next((i for i, at in enumerate(kept) if frame.columns[at] in _LINKED), None)
    addresses = table.frame[ADDRESS].fillna("") if ADDRESS in table.frame else [""] * len(frame)
    return {
        # Place of the column whose cells lead to runs in MLflow, and an address or "" for each.
        "linked": linked,
        "addresses": list(addresses),
        "name": f"{table.name}{suffix}",
        "caption": table.caption,
        "stem": f"tables/{table.name}{suffix}",
        # Text, and whether the column holds numbers.
        "header": [(frame.columns[i], numeric[i]) for i in kept],
        "rows": frame.iloc[:, kept].to_numpy().tolist(),
        # Attributes of each row, by which the page's script selects it.
        "data": [
            {"key": key, **{name: values[row] for name, values in table.facets.items()}}
            for row, key in enumerate(table.keys)
        ]
        or [{}] * len(frame),
    }


def filters_of(tables: Sequence[Table]) -> dict[str, list[str]]:
    """What the rows of some tables can be filtered by: filter → its values, where there are two."""
    found: dict[str, list[str]] = {}
    for table in tables:
        for name, values in table.facets.items():
            found.setdefault(name, []).extend(values)
    options = {name: list(dict.fromkeys(values)) for name, values in found.items()}
    return {name: values for name, values in options.items() if len(values) > 1}
