"""Colours and words that both renderers and several figures share."""

from reports.figures.chart import Dash, Symbol

# Okabe & Ito (2008): distinguishable with every common colour blindness. Its yellow and black
# are left out: one is invisible on white, the other on a dark page.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
NEUTRAL = "#7F7F7F"
# Of objectives, in their order.
OBJECTIVE_SYMBOLS: tuple[Symbol, ...] = ("circle", "square", "diamond")
RELEVANT, IRRELEVANT = "#009E73", "#D55E00"
# Sequential, and readable with every colour blindness. Every cell also shows its number.
CELL_COLOURS = "cividis"


def colour(index: int) -> str:
    """Choose the colour of the index-th series."""
    return PALETTE[index % len(PALETTE)]


def shape(index: int) -> tuple[Symbol, Dash]:
    """Choose symbol and line of the index-th series, which tell it from one of the same colour."""
    return ("triangle", "dash") if index // len(PALETTE) % 2 else ("circle", "solid")
