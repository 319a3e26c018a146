"""How settings and values of metrics are written in a terminal."""

import math
import textwrap
from collections.abc import Iterable, Sequence

from reports.wording import MISSING, parameter_symbol, parameter_value
from saat.metrics import METRICS, Unit


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Pad the cells of every column to one width; a row of other length sets no width."""
    full = [row for row in rows if len(row) == len(rows[0])]
    widths = [max(map(len, column)) for column in zip(*full, strict=True)]
    return [
        "  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=False)).rstrip() for row in rows
    ]


def wrapped(lines: Iterable[str]) -> str:
    """Lines as one text, in which none but a very long word is wider than 80 columns."""
    wrapper = textwrap.TextWrapper(
        80, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(map(wrapper.fill, lines))


def rounded(value: float) -> str:
    """Three digits, and no exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.001 or not value else "< 0.001"


def short_label(name: str) -> str:
    """``clean`` for ``clean_map``; the metric's label where it is not the MAP of queries."""
    return METRICS[name].label.removesuffix(" MAP")


def value_text(name: str, value: float, missing: str) -> str:
    """A value of a metric: ``81.3`` (percent), ``32`` (bits), ``412`` (seconds)."""
    if math.isnan(value):
        return missing
    unit = METRICS[name].unit
    if unit.symbol:
        return f"{100 * value:.1f}"
    return f"{value:.0f}" if unit in (Unit.COUNT, Unit.SECONDS) else f"{value:.4g}"


def objectives_text(names: Sequence[str], values: Iterable[float]) -> str:
    """``clean 81.3 robust 40.2``."""
    pairs = zip(names, values, strict=True)
    return " ".join(f"{short_label(name)} {value_text(name, value, '-')}" for name, value in pairs)


def setting_text(values: Iterable[tuple[str, object]]) -> str:
    """The values of keys as the report writes them: ``bits=32 λ=4.07 ε=10.4/255``."""
    return " ".join(f"{parameter_symbol(key)}={parameter_value(key, v)}" for key, v in values)


def compact_setting(values: Iterable[tuple[str, object]]) -> str:
    """The same for a narrow column: ``32b λ4.07 μ1e-5 ε10.4/255 T8``.

    A key without a symbol keeps its last word: ``lr=0.3``.
    """
    parts = []
    for key, value in values:
        symbol, text = parameter_symbol(key), parameter_value(key, value).replace("e-0", "e-")
        if text == MISSING:
            continue
        if symbol == key:
            parts.append(f"{key.rpartition('.')[2]}={text}")
        else:
            parts.append(f"{text}b" if symbol == "bits" else f"{symbol}{text}")
    return " ".join(parts)
