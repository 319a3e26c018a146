"""A page for a table or figure: Markdown, HTML, the numbers as CSV, and the drawing."""

import html
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from reports.csv_files import csv_text
from reports.figures.examples import ExamplePanel, examples_static
from reports.figures.static import STATIC_STYLE, draw
from reports.paper.charts import curves, curves_chart
from reports.paper.declared import Item, items
from reports.paper.entries import entries, entries_frame
from reports.paper.grid import Grid, GridCell
from reports.paper.measured import Measured
from reports.paper.page_content import PAPER, Page, missing_runs, page_of
from reports.paper.pictures import attacked_images_figure
from reports.templating import rendered

_MARKS = {"within": " =", "outside": " ≠", "": ""}


def write_page(
    item: Item,
    measured: Measured,
    folder: Path,
    retrieved: Sequence[ExamplePanel] = (),
) -> Path:
    """Write ``NAME.md``, ``NAME.html``, the numbers and the drawing; returns the Markdown file.

    ``retrieved``: panels of a figure of retrieved items, which take a network to make.
    """
    folder.mkdir(parents=True, exist_ok=True)
    picture, frame = "", None
    if item.kind == "table":
        frame = entries_frame(entries(item, measured))
    else:
        picture = f"{item.name}.png"
        if item.kind in ("precision_recall", "precision_at", "weights"):
            frame = curves(item, measured)
        (folder / picture).write_bytes(_drawn(item, measured, retrieved))
    if frame is not None:
        (folder / f"{item.name}.csv").write_text(csv_text(frame), encoding="utf-8")
    page = page_of(item, measured, picture)
    html_page = rendered("paper.html.j2", page=page, marks=_MARKS)
    (folder / f"{item.name}.html").write_text(html_page, encoding="utf-8")
    path = folder / f"{item.name}.md"
    path.write_text(_markdown(page), encoding="utf-8")
    return path


def _drawn(item: Item, measured: Measured, retrieved: Sequence[ExamplePanel]) -> bytes:
    with matplotlib.rc_context(STATIC_STYLE):
        drawing: Figure
        if item.kind == "retrieved":
            drawing = examples_static(list(retrieved))
        elif item.kind == "images":
            drawing = attacked_images_figure(item, measured)
        else:
            drawing = draw(curves_chart(item, measured))
        stored = io.BytesIO()
        drawing.savefig(stored, format="png")
    return stored.getvalue()


def write_index(measured: Measured, folder: Path) -> Path:
    """Write ``index.md``: the pages that a folder has, and which runs they share."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        f"# The paper's tables and figures on {measured.data}, scale {measured.scale}",
        "",
        "| page | of the paper | runs | state |",
        "|---|---|---|---|",
    ]
    for name, item in items().items():
        if not (folder / f"{name}.md").exists():
            continue
        missing = missing_runs(item, measured)
        at = f" at {', '.join(map(str, measured.bits))} bits" if measured.bits else ""
        state = f"complete{at}" if not missing else f"not run yet: {', '.join(missing)}"
        lines.append(
            f"| [{item.title}]({name}.md) | {item.of_paper} | {', '.join(item.runs)} | {state} |"
        )
    path = folder / "index.md"
    path.write_text("\n".join([*lines, "", PAPER, ""]), encoding="utf-8")
    return path


def _markdown(page: Page) -> str:
    lines = [f"# {page.title}", ""]
    for paragraph in page.paragraphs:
        lines += [paragraph, ""]
    if page.table is not None:
        lines += [*_markdown_table(page.table), ""]
        lines += [f"{number}. {_escaped(note)}" for number, note in enumerate(page.table.notes, 1)]
        lines += [""] if page.table.notes else []
    if page.picture:
        lines += [f"![{page.title}]({page.picture})", ""]
    for title, texts in page.sections.items():
        lines += [f"## {title}", "", *(f"- {text}" for text in texts), ""]
    return "\n".join(lines)


def _markdown_table(table: Grid) -> list[str]:
    header = [*table.leading, *table.columns]
    rule = ["---"] * len(table.leading) + ["---:"] * len(table.columns)
    rows = [header, rule]
    for leading, cells, is_reference in table.rows:
        texts = [f"*{text}*" if is_reference and text else text for text in leading]
        rows.append([*texts, *(_markdown_cell(cell) for cell in cells)])
    return [f"| {' | '.join(row)} |" for row in rows]


def _markdown_cell(cell: GridCell) -> str:
    text = f"**{cell.ours}**" if cell.paper else cell.ours
    if cell.paper:
        text += f" / {cell.paper}"
    if cell.difference:
        text += f" ({cell.difference}{_MARKS[cell.verdict]})"
    if cell.notes:
        text += f" <sup>{', '.join(map(str, cell.notes))}</sup>"
    return text


def _escaped(text: str) -> str:
    """Text that may come from a run, as it can stand in Markdown."""
    return html.escape(text, quote=False).translate({ord(c): f"\\{c}" for c in "|*_`[]"})
