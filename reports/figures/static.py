"""Draw charts for print with matplotlib."""

from math import ceil
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from reports.figures.chart import (
    Area,
    Band,
    Bars,
    Bound,
    Cells,
    Chart,
    Letters,
    Line,
    Mark,
    Panel,
    Points,
)
from reports.figures.heat_table import readable_on
from reports.figures.style import CELL_COLOURS, NEUTRAL

# Each character is drawn with the first of these fonts that is installed and has it. DejaVu has
# Latin, Greek and Cyrillic. Names of searches and settings may be in any script.
_FONTS = (
    "DejaVu Sans",
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Noto Sans JP", "Noto Sans KR"),
    *("Source Han Sans SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback"),
    *("PingFang SC", "Hiragino Sans", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic"),
    *("Noto Sans", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari"),
    *("Noto Sans Thai", "Noto Sans Symbols", "Noto Sans Symbols 2", "Noto Emoji"),
    *("Segoe UI Symbol", "Arial Unicode MS", "Unifont", "STIXGeneral"),
    # Comes with matplotlib; draws any character as a box with the name of its script.
    "Last Resort High-Efficiency",
)


_INSTALLED = set(font_manager.get_font_names())
# Any: matplotlib's stubs list every key as a literal.
STATIC_STYLE: Any = {
    "font.family": [name for name in _FONTS if name in _INSTALLED],
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "savefig.dpi": 160,
    "pdf.fonttype": 42,
    # A dollar sign in a search's name does not begin a formula.
    "text.parse_math": False,
}
_SYMBOLS = {"circle": "o", "square": "s", "diamond": "D", "star": "*", "thin-x": "x", "x": "X",
            "triangle": "v"}  # fmt: skip
_DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
_STEPS = {"": "default", "before": "steps-pre", "after": "steps-post"}
# Inches: a column, and both columns, of a page as journals and conferences set it.
COLUMN, PAGE = 3.5, 7.16
# What is else in a figure that is one column wide; its text is as large as that of its caption.
COLUMN_STYLE: Any = STATIC_STYLE | {
    "font.size": 7.5,
    "axes.titlesize": 8,
    "legend.fontsize": 6.5,
    "lines.linewidth": 1.0,
}
_WIDTH = PAGE  # inches of a figure with one panel
_COLUMNS = 3  # panels in a row
_LEAST = 0.55  # of its usual width, that a panel has
_FLATTEST = 0.6  # of its usual height, where a panel is narrower than it is usually
_LINE, _LONG = 0.14, 22  # inches of a line of the legend; characters that need a line of their own
_NARROWEST = 4.4  # inches that a legend needs


def draw(chart: Chart, width: float | None = None) -> Figure:
    """A chart as a matplotlib figure, outside pyplot's global state.

    It has the chart's own size, or a ``width`` in inches, in which case fewer panels are in a row
    and each is lower.
    """
    if not chart.panels:
        return message(chart.nothing, width or _WIDTH)
    columns = min(_COLUMNS, len(chart.panels))
    if width is None:
        size = max(chart.width * columns, _NARROWEST), chart.height
    else:
        columns = max(1, min(columns, int(width // (_LEAST * chart.width))))
        size = width, chart.height * float(np.clip(width / columns / chart.width, _FLATTEST, 1))
    rows = ceil(len(chart.panels) / columns)
    entries, in_line = _legend_size(chart)
    narrow = width is not None and width < _NARROWEST
    more = _LINE * ceil(entries / in_line) if narrow else 0.0
    figure = new_figure(size[0], size[1] * rows + more)
    for position, panel in enumerate(chart.panels):
        axes = figure.add_subplot(rows, columns, position + 1, xlabel=panel.x.label)
        axes.set_title(panel.title)
        # Panels of one row have the label of their left neighbour where it is the same.
        if position % columns == 0 or panel.y.label != chart.panels[position - 1].y.label:
            axes.set_ylabel(panel.y.label)
        _draw_panel(axes, panel)
        if narrow and any("\n" in name for name in panel.x.categories):
            axes.tick_params(axis="x", rotation=90)  # labels of several lines stand close
    legend_below(figure, in_line if narrow else chart.legend_columns)
    return figure


def _legend_size(chart: Chart) -> tuple[int, int]:
    """How many entries a legend has, and how many of them fit in a line of a column."""
    marks = [mark for panel in chart.panels for mark in panel.marks]
    labels = {label for mark in marks if (label := getattr(mark, "label", ""))}
    return len(labels), 1 if any(len(label) > _LONG for label in labels) else 2


def new_figure(width: float = _WIDTH, height: float = 4.6) -> Figure:
    """An empty figure of the given size in inches."""
    # Text is drawn a little wider than it is laid out, because the resolutions differ.
    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.1))


def message(text: str, width: float = _WIDTH) -> Figure:
    """A figure that says why there is nothing to draw."""
    figure = new_figure(width, 2.2)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", color=NEUTRAL, fontsize=12)
    return figure


def legend_below(figure: Figure, columns: int = 3) -> None:
    """Draw one legend for all axes below the figure, where it covers no data."""
    found: dict[str, Any] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        found = {**dict(zip(labels, handles, strict=True)), **found}
    if found:
        figure.legend(list(found.values()), list(found), loc="outside lower center", ncols=columns)


def _draw_panel(axes: Axes, panel: Panel) -> None:
    for mark in panel.marks:
        _draw_mark(axes, mark)
    for side, axis, chosen in (("x", axes.xaxis, panel.x), ("y", axes.yaxis, panel.y)):
        if chosen.categories:
            axis.set_ticks(range(len(chosen.categories)), chosen.categories)
        elif chosen.scale == "whole":
            axis.set_major_locator(MaxNLocator(integer=True))
        elif chosen.scale == "log":
            axes.set(**{f"{side}scale": "log"})
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter("")
        if chosen.limits != (None, None):
            axes.set(**{f"{side}lim": chosen.limits})
    if panel.focus:
        axes.set(xlim=panel.focus.x, ylim=panel.focus.y)


def _draw_mark(axes: Axes, mark: Mark) -> None:
    look: Any
    match mark:
        case Cells():
            _draw_cells(axes, mark)
        case Points():
            _draw_points(axes, mark)
        case Bars():
            look = {"color": mark.colour, "alpha": mark.opacity, "label": _label(mark.label)}
            if len(mark.y):
                look |= {"edgecolor": "white", "linewidth": 0.3}
                axes.barh(mark.y, mark.end - mark.begin, mark.height, mark.begin, **look)
            else:  # an entry of the legend; bars without any have no colour there
                axes.fill_between([], [], **look)
        case Bound():
            axes.axvline(mark.x, ls=":", lw=1.1, color=mark.colour, label=_label(mark.label))
        case Letters():
            for x, y, text in zip(mark.x, mark.y, mark.texts, strict=True):
                axes.annotate(text, (x, y), (5, 5), textcoords="offset points", fontsize=14)
        case Line():
            look = {"drawstyle": _STEPS[mark.step], "lw": mark.width, "alpha": mark.opacity}
            look |= {"color": mark.colour, "label": _label(mark.label)}
            axes.plot(mark.x, mark.y, _DASHES[mark.dash], **look)
        case Area():
            axes.fill_between(mark.x, mark.low, mark.high, color=mark.colour, alpha=0.18, lw=0)
        case Band():
            look = {"color": mark.colour, "label": _label(mark.label)}
            if mark.low == mark.high:
                axes.axhline(mark.low, ls=_DASHES[mark.dash], lw=1.4, **look)
            else:
                axes.axhspan(mark.low, mark.high, alpha=0.3, lw=1, **look)


def _draw_points(axes: Axes, mark: Points) -> None:
    thin = mark.symbol == "thin-x"
    axes.errorbar(
        mark.x,
        mark.y,
        xerr=mark.x_error,
        yerr=mark.y_error,
        fmt=_SYMBOLS[mark.symbol],
        color=mark.colour,
        ms=mark.size,
        mfc="none" if mark.is_open else mark.colour,
        mec=mark.colour if mark.is_open or thin else mark.edge or mark.colour,
        alpha=mark.opacity,
        capsize=3,
        elinewidth=1.3,
        label=_label(mark.label),
    )


def _draw_cells(axes: Axes, cells: Cells) -> None:
    image = axes.imshow(cells.values, cmap=CELL_COLOURS, aspect="auto", vmin=0, vmax=100)
    axes.grid(False)
    axes.set_xticks(range(len(cells.columns)), cells.columns, rotation=40, ha="right")
    axes.set_yticks(range(len(cells.rows)), cells.rows)
    for (row, column), value in np.ndenumerate(cells.values):
        note = cells.notes[row][column]
        text, shade = f"{value:.1f}", readable_on(to_hex(image.cmap(float(value) / 100)))
        if np.isnan(value):
            text, shade = "–", "#666666"
        elif note:
            text += f"\n{note}"
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color=shade)
    axes.figure.colorbar(image, ax=axes, label="%", fraction=0.03)


def _label(text: str) -> str | None:
    """Text as a label; matplotlib would leave a label that begins with _ out of the legend."""
    return f" {text}" if text.startswith("_") else text or None
