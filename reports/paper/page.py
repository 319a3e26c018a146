"""A page for a table or figure: Markdown, the numbers as CSV, and the drawing."""

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from reports.csv_files import csv_text
from reports.figures.examples import ExamplePanel, examples_static
from reports.figures.static import STATIC_STYLE, draw
from reports.paper.charts import count_collapsed, curves, curves_chart
from reports.paper.declared import Item, items, run_named
from reports.paper.entries import Entry, entries, entries_frame, is_comparable, shown_data
from reports.paper.findings import findings
from reports.paper.grid import markdown_table
from reports.paper.measured import Measured
from reports.paper.numbers import DATA_NAMES, TOLERANCE
from reports.paper.pictures import attacked_images_figure
from saat.wording import counted

PAPER = (
    "The paper is Yuan et al., Semantic-Aware Adversarial Training for Reliable Deep Hashing "
    "Retrieval (arXiv 2310.14637). It does not say the learning rate and the batch size of its "
    "adversarial training, which are those of its published code here, and its η = 2 means 2/255."
)
_PAPER_PIXELS = 224


def write_page(
    item: Item,
    measured: Measured,
    folder: Path,
    retrieved: Sequence[ExamplePanel] = (),
) -> Path:
    """Write ``NAME.md``, the numbers and the drawing; returns the Markdown file.

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
    path = folder / f"{item.name}.md"
    path.write_text(_page_text(item, measured, picture), encoding="utf-8")
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


def _page_text(item: Item, measured: Measured, picture: str) -> str:
    """The page of a table or figure; ``picture`` is the file of a figure's drawing."""
    beside, title = DATA_NAMES[shown_data(item, measured.data)], f"{item.of_paper}: {item.title}"
    where = f"{item.of_paper} of the paper, on {measured.data} at scale {measured.scale}."
    lines, counted_ = [f"# {title}", "", where, ""], list[str]()
    if item.kind == "table":
        numbers = entries(item, measured)
        for text in _how_to_read(item, measured, beside, numbers):
            lines += [text, ""]
        lines += markdown_table(item, measured, numbers)
        counted_ = findings(numbers)
    else:
        shown = " and ".join(DATA_NAMES[name] for name in item.paper_data)
        none = f"The paper prints no numbers for this figure; its data set is {shown}."
        lines += [none, "", f"![{title}]({picture})", ""]
    sections = {
        "The paper says": item.says,
        "Counted": counted_,
        "Remarks": [*_remarks(item, measured), PAPER],
    }
    for heading, texts in sections.items():
        if texts:
            lines += [f"## {heading}", "", *(f"- {text}" for text in texts), ""]
    return "\n".join(lines)


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
    if missing := missing_runs(item, measured):
        found.append(f"Not run yet: {', '.join(missing)}.")
    if "measure" in item.rows and (sizes := measured.image_sizes - {_PAPER_PIXELS}):
        found.append(
            f"Matrix norms grow with the image: {', '.join(map(str, sorted(sizes)))} pixels wide "
            f"here, {_PAPER_PIXELS} in the paper."
        )
    if item.kind == "weights":
        collapsed, models = count_collapsed(item, measured)
        if collapsed:
            found.append(
                f"{collapsed} of {counted(models, 'model')} here have a clean MAP that is not "
                "above chance: what retrieves nothing loses nothing under attack."
            )
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


def missing_runs(item: Item, measured: Measured) -> list[str]:
    """Runs that have not begun, of those that there are."""
    return [
        name
        for name in item.runs
        if name not in measured.runs
        and not all(measured.left_out(setting) for setting in run_named(name).settings)
    ]


def _hours(hours: float) -> str:
    return f"{hours:.1f} device-hours" if hours >= 1 else f"{60 * hours:.1f} device-minutes"
