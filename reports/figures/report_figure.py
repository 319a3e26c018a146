"""What every figure of a report has."""

from typing import NamedTuple

from matplotlib.figure import Figure

from reports.figures.chart import Chart


class ReportFigure(NamedTuple):
    """A figure with its title and caption."""

    name: str  # file stem
    title: str
    caption: str
    drawing: Chart | Figure  # a Figure has no interactive form


class FigureGroup(NamedTuple):
    """Figures of a search that stand together below a heading."""

    name: str  # id of the heading
    title: str
    figures: tuple[str, ...]
