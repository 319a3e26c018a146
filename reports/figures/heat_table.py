"""A coloured table of numbers for the page: text stays text at any width, and can be read aloud."""

from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from reports.figures.chart import Cells
from reports.figures.style import CELL_COLOURS
from reports.wording import MISSING

_BLACK, _WHITE = "#000000", "#ffffff"


class HeatCell(NamedTuple):
    """A number with its colours; those of a missing number are the page's own."""

    text: str
    detail: str  # the interval and the number of seeds, small below the number
    background: str
    colour: str


def heat_rows(cells: Cells) -> list[tuple[str, list[HeatCell]]]:
    """Labels and coloured cells; text has a contrast of at least 4.5 : 1 to its cell."""
    rows = []
    for row, label in enumerate(cells.rows):
        notes = zip(cells.notes[row], cells.details[row], strict=True)
        details = [" ".join(filter(None, pair)) for pair in notes]
        values = zip(cells.values[row], details, strict=True)
        rows.append((label, [_cell(float(value), detail) for value, detail in values]))
    return rows


def _cell(value: float, detail: str) -> HeatCell:
    if np.isnan(value):
        return HeatCell(MISSING, detail, "", "")
    shade = to_hex(colormaps[CELL_COLOURS](value / 100))
    return HeatCell(f"{value:.1f}", detail, shade, readable_on(shade))


def readable_on(shade: str) -> str:
    """Black or white, whichever has more contrast to a colour ``#rrggbb``."""
    return max((_BLACK, _WHITE), key=lambda text: contrast(text, shade))


def contrast(first: str, second: str) -> float:
    """Contrast of two colours ``#rrggbb`` (WCAG 2.2), from 1 to 21."""
    dark, light = sorted((_luminance(first), _luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(shade: str) -> float:
    """Relative luminance of an sRGB colour, from 0 to 1."""
    parts = np.array([int(shade[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))
