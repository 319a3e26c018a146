"""What the page of a table or figure says, before it is Markdown or HTML."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from reports.paper.charts import count_collapsed
from reports.paper.declared import Item, run_named
from reports.paper.entries import Entry, entries, is_comparable, shown_data
from reports.paper.findings import findings
from reports.paper.grid import Grid, grid
from reports.paper.measured import Measured
from reports.paper.numbers import DATA_NAMES, TOLERANCE
from saat.wording import counted

PAPER = (
    "The paper is Yuan et al., Semantic-Aware Adversarial Training for Reliable Deep Hashing "
    "Retrieval (arXiv 2310.14637). It does not say the learning rate and the batch size of its "
    "adversarial training, which are those of its published code here, and its η = 2 means 2/255."
)


_PAPER_PIXELS = 224


class Page(NamedTuple):
    """The parts of a page.

    Attributes:
        title: of the page.
        paragraphs: what it shows, and how to read it.
        table: of a table of the paper.
        picture: file of a figure's drawing, beside the page.
        sections: title → sentences, of those that have any.
    """

    title: str
    paragraphs: Sequence[str]
    table: Grid | None
    picture: str
    sections: Mapping[str, Sequence[str]]


def page_of(item: Item, measured: Measured, picture: str) -> Page:
    """The page of a table or figure; ``picture`` is the file of a figure's drawing."""
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
    sections = {
        "The paper says": item.says,
        "Counted": counted_,
        "Remarks": [*_remarks(item, measured), PAPER],
    }
    said = {title: texts for title, texts in sections.items() if texts}
    return Page(f"{item.of_paper}: {item.title}", paragraphs, table, picture, said)


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
