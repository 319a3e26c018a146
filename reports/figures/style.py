"""One look for both renderers: palette, fonts, legends that never cover data."""

import html
from typing import Any, NamedTuple

import plotly.graph_objects as go
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

# Okabe & Ito (2008): distinguishable with every common colour blindness. Its yellow and black
# are left out: one is invisible on white, the other on a dark page.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
NEUTRAL = "#7F7F7F"
RELEVANT, IRRELEVANT = "#009E73", "#D55E00"
NOTHING_YET = "no completed trials yet"

# A character is taken from the first of these that is installed and has it. DejaVu has Latin,
# Greek and Cyrillic; names of searches and settings may be in any script.
_FONTS = (
    "DejaVu Sans",
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Noto Sans JP", "Noto Sans KR"),
    *("Source Han Sans SC", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback"),
    *("PingFang SC", "Hiragino Sans", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic"),
    *("Noto Sans", "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari"),
    *("Noto Sans Thai", "Noto Sans Symbols", "Noto Sans Symbols 2", "Noto Emoji"),
    *("Segoe UI Symbol", "Arial Unicode MS", "Unifont", "STIXGeneral"),
    # Matplotlib's own; has a box with the name of its script for every character there is.
    "Last Resort High-Efficiency",
)


def installed_fonts() -> list[str]:
    """The fonts that text falls back to, in order."""
    installed = set(font_manager.get_font_names())
    return [name for name in _FONTS if name in installed]


# Any: matplotlib's stubs list every key as a literal.
STATIC_STYLE: Any = {
    "font.family": installed_fonts(),
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
    # A dollar sign in a search's name is no formula.
    "text.parse_math": False,
}


class RenderedFigure(NamedTuple):
    """A figure drawn for print and for the page, both from the same data."""

    name: str  # file stem
    title: str
    caption: str
    static: Figure
    interactive: list[go.Figure]  # several are shown side by side; none: the page shows `static`


def colour(index: int) -> str:
    """Colour of the index-th series."""
    return PALETTE[index % len(PALETTE)]


def escape(text: str) -> str:
    """Text from a file for plotly, which reads a small HTML."""
    return html.escape(text, quote=False)


def legend_label(text: str) -> str:
    """Text from a file as a label; matplotlib leaves what begins with _ out of a legend."""
    return f" {text}" if text.startswith("_") else text


def new_static(width: float = 7.2, height: float = 4.6) -> Figure:
    """An empty figure of the given size in inches, outside pyplot's global state."""
    # Text is a little wider when it is drawn than when it is laid out, at another resolution.
    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.1))


def legend_below(figure: Figure, columns: int = 3, **options: Any) -> None:
    """One legend of all axes below the figure, where it covers no data."""
    found: dict[str, Any] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        found = {**dict(zip(labels, handles, strict=True)), **found}
    if found:
        figure.legend(
            list(found.values()), list(found), loc="outside lower center", ncols=columns, **options
        )


def message_static(text: str = NOTHING_YET) -> Figure:
    """A figure that says why there is nothing to draw."""
    figure = new_static(height=2.2)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", color=NEUTRAL, fontsize=12)
    return figure


def message_interactive(text: str = NOTHING_YET) -> go.Figure:
    """A figure that says why there is nothing to draw."""
    figure = new_interactive("", "", height=160)
    figure.update_layout(xaxis_visible=False, yaxis_visible=False)
    figure.add_annotation(
        text=escape(text), x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font_size=15
    )
    return figure


def new_interactive(x: str, y: str, height: int = 520, title: str = "") -> go.Figure:
    """An empty plotly figure with titled axes; the page's script recolours it for dark mode."""
    figure = go.Figure()
    axis = {
        "gridcolor": "rgba(127,127,127,0.22)",
        "zeroline": False,
        "linecolor": "rgba(127,127,127,0.7)",
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "rgba(127,127,127,0.7)",
        "automargin": True,
    }
    figure.update_layout(
        template="none",
        height=height,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, -apple-system, 'Segoe UI', sans-serif", "size": 13},
        margin={"l": 56, "r": 12, "t": 36 if title else 12, "b": 48},
        hovermode="closest",
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": NEUTRAL, "activecolor": PALETTE[0]},
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0},
        xaxis={**axis, "title": {"text": escape(x)}},
        yaxis={**axis, "title": {"text": escape(y)}},
    )
    if title:
        figure.update_layout(
            title={"text": escape(title), "font": {"size": 14}, "x": 0.02, "xanchor": "left"}
        )
    return figure
