"""Charts in plotly's own classes, and reports whose pictures are left empty."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import plotly.graph_objects as go
import pytest
from matplotlib.figure import Figure

from reports.figures import interactive, static
from reports.figures.chart import Chart


def plots(chart: Chart) -> list[go.Figure]:
    """The panels of a chart as the page has them; an unknown name or value raises ValueError."""
    return [go.Figure(plot) for plot in interactive.draw(chart)]


@contextmanager
def left_empty() -> Iterator[None]:
    """For tests in which the text of reports counts: pictures take most of a report's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(static, "draw", lambda *_size: Figure())
        patch.setattr(Figure, "draw_without_rendering", lambda _self: None)
        patch.setattr(Figure, "savefig", lambda _self, file, **_options: _touch(file))
        yield


def _touch(file: object) -> None:
    if isinstance(file, Path):
        file.write_bytes(b"")
