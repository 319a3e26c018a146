"""What every figure of a report has."""

from collections.abc import Iterable
from typing import NamedTuple

from matplotlib.figure import Figure

from reports.figures.chart import Chart


class ReportFigure(NamedTuple):
    """A figure with its title and caption."""

    name: str  # file stem
    title: str
    caption: str
    drawing: Chart | Figure  # a Figure has no interactive form


def by_name(figures: Iterable[ReportFigure]) -> dict[str, ReportFigure]:
    """Figures by their names, without those whose chart has neither panels nor a text for none."""
    return {
        figure.name: figure
        for figure in figures
        if not isinstance(figure.drawing, Chart) or figure.drawing.panels or figure.drawing.nothing
    }
