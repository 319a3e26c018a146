"""A page for a table or figure: Markdown, HTML, the numbers as CSV, and the drawing."""

import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2
import matplotlib
from matplotlib.figure import Figure

from reports.csv_files import csv_text
from reports.figures.examples import ExamplePanel, examples_static
from reports.figures.static import STATIC_STYLE, draw
from reports.paper.charts import curves, curves_chart
from reports.paper.declared import Item, items, run_named
from reports.paper.entries import Entry, entries, entries_frame, is_comparable, shown_data
from reports.paper.findings import findings
from reports.paper.grid import Grid, GridCell, grid
from reports.paper.measured import Measured
from reports.paper.numbers import DATA_NAMES, TOLERANCE
from reports.paper.pictures import attacked_images_figure
from saat.wording import counted

_MARKS = {"within": " =", "outside": " ≠", "": ""}
_PAPER = (
    "The paper is Yuan et al., Semantic-Aware Adversarial Training for Reliable Deep Hashing "
    "Retrieval (arXiv 2310.14637). It does not say the learning rate and the batch size of its "
    "adversarial training, which are those of its published code here, and its η = 2 means 2/255."
)


class Page(NamedTuple):
    """The parts of a page.

    Attributes:
        title: of the page.
        paragraphs: what it shows, and how to read it.
        table: of a table of the paper.
        picture: file of a figure's drawing, beside the page.
        says: what the paper concludes.
        found: the same, counted in the numbers.
        remarks: what else to know of the numbers.
    """

    title: str
    paragraphs: Sequence[str]
    table: Grid | None
    picture: str
    says: Sequence[str]
    found: Sequence[str]
    remarks: Sequence[str]


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
    page = _page(item, measured, picture)
    (folder / f"{item.name}.html").write_text(_html(page), encoding="utf-8")
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


def _page(item: Item, measured: Measured, picture: str) -> Page:
    beside = DATA_NAMES[shown_data(item, measured.data)]
    paragraphs = [f"{item.of_paper} of the paper, on {measured.data} at scale {measured.scale}."]
    table, counted_ = None, list[str]()
    if item.kind == "table":
        numbers = entries(item, measured)
        table, counted_ = grid(item, measured), findings(numbers)
        paragraphs += _how_to_read(item, measured, beside, numbers)
    else:
        paragraphs.append(
            "The paper prints no numbers for this figure; its data set is "
            + " and ".join(DATA_NAMES[name] for name in item.paper_data)
            + "."
        )
    return Page(
        f"{item.of_paper}: {item.title}",
        paragraphs,
        table,
        picture,
        item.says,
        counted_,
        [*_remarks(item, measured), _PAPER],
    )


def _how_to_read(item: Item, measured: Measured, beside: str, found: Sequence[Entry]) -> list[str]:
    unit = "" if "measure" in item.rows else ", in %"
    if is_comparable(item, measured):
        verdicts = [entry.verdict for entry in found]
        within = verdicts.count("within")
        judged = within + verdicts.count("outside")
        texts = [
            f"Each cell has our number, the paper's on {beside}, and their difference{unit}. "
            f"= marks a difference of at most {TOLERANCE} points, by which two trainings of one "
            "defense differ in the paper itself; ≠ marks a larger one."
        ]
        if judged:
            texts.append(f"{within} of {counted(judged, 'number')} are within {TOLERANCE} points.")
        return texts
    why = "another data set" if measured.data not in item.paper_data else "a shorter schedule"
    networks = {ours for ours in measured.backbones.values() if ours not in ("alexnet",)}
    if measured.scale == "small" and networks:
        why += f" and another network ({', '.join(sorted(networks))})"
    return [
        f"Each cell has our number and the paper's on {beside}{unit}. Ours is of {why}, so the two "
        "are no measurement of the same thing: compare the order of the rows."
    ]


def _remarks(item: Item, measured: Measured) -> list[str]:
    found = []
    settings = [s for name in item.runs for s in run_named(name).settings]
    left_out = {measured.left_out(setting): None for setting in settings}
    found += [f"Ours: {reason}." for reason in left_out if reason]
    if missing := _missing(item, measured):
        found.append(f"Not run yet: {', '.join(missing)}.")
    for name, count in measured.unfinished.items():
        if name in item.runs:
            found.append(f"{counted(count, 'trial')} of the run {name} did not complete.")
    there = [name for name in item.runs if name in measured.runs]
    if hours := measured.cost_hours(there):
        runs = "run" if len(there) == 1 else "runs"
        found.append(
            f"The {runs} {', '.join(there)} took {_hours(hours)}, shared with every table and "
            "figure that needs them."
        )
    return found


def _missing(item: Item, measured: Measured) -> list[str]:
    """Runs that have not begun, of those that there are."""
    return [
        name
        for name in item.runs
        if name not in measured.runs
        and not all(measured.left_out(setting) for setting in run_named(name).settings)
    ]


def _hours(hours: float) -> str:
    return f"{hours:.1f} device-hours" if hours >= 1 else f"{60 * hours:.1f} device-minutes"


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
    for title, texts in _sections(page):
        if texts:
            lines += [f"## {title}", "", *(f"- {text}" for text in texts), ""]
    return "\n".join(lines)


def _sections(page: Page) -> list[tuple[str, Sequence[str]]]:
    return [
        ("The paper says", page.says),
        ("Counted", page.found),
        ("Remarks", page.remarks),
    ]


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


def _html(page: Page) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports"), autoescape=True, trim_blocks=True
    )
    return environment.get_template("paper.html.j2").render(
        page=page, marks=_MARKS, sections=_sections(page)
    )


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
        missing = _missing(item, measured)
        state = "complete" if not missing else f"not run yet: {', '.join(missing)}"
        lines.append(
            f"| [{item.title}]({name}.md) | {item.of_paper} | {', '.join(item.runs)} | {state} |"
        )
    path = folder / "index.md"
    path.write_text("\n".join([*lines, "", _PAPER, ""]), encoding="utf-8")
    return path


def _escaped(text: str) -> str:
    """Text that may come from a run, as it can stand in Markdown."""
    return html.escape(text, quote=False).translate({ord(c): f"\\{c}" for c in "|*_`[]"})
