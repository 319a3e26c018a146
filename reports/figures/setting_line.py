"""The curve of a confirmed setting, as every figure of such curves draws it."""

from reports.figures.chart import Dash, Line, Values, escape
from reports.figures.style import PALETTE, colour

_DASHES: tuple[Dash, ...] = ("solid", "dash", "dot", "dashdot")


def setting_line(
    index: int, label: str, x: Values, y: Values, hover: str = "", named: str = ""
) -> Line:
    """The line of the index-th setting; its dash changes once all colours are used.

    ``hover`` is the text over a point, below ``named``, which is the label by default.
    """
    dash = _DASHES[index // len(PALETTE) % len(_DASHES)]
    text = f"{hover}<extra>{escape(named or label)}</extra>" if hover else ""
    return Line(x, y, colour(index), label, width=1.8, dash=dash, hover=text)
