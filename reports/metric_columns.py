"""Metrics as columns of tables: which metrics a run has, their labels and their units."""

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from reports.results import measured_names
from saat.metrics import METRICS, OBJECTIVES, REFERENCES, Phase, known
from saat.registry import OWN_PACKAGE

# Each row of the table of attacks has one of these; other metrics of the attack come beside it.
SCORES = ("map", "tmap")


class MetricColumn(NamedTuple):
    """A metric that a table shows."""

    label: str  # header of the table
    symbol: str  # ``%`` or ``points`` where the stored value is shown times 100; else empty
    name: str  # plain name, or the part before the attack's name


def column_of(name: str) -> MetricColumn:
    """Label and unit of a metric; a metric of no installed package has its name as label."""
    found = known(name)
    return MetricColumn(
        *(found.entry.label, found.entry.unit.symbol) if found else (name, ""), name
    )


def symbols(columns: Iterable[MetricColumn]) -> dict[str, str]:
    """Map header → unit for the columns that are shown times 100."""
    return {column.label: column.symbol for column in columns if column.symbol}


def columns_beside(
    frame: pd.DataFrame, phase: Phase, shown: Iterable[str] = OBJECTIVES
) -> list[MetricColumn]:
    """The columns beside those of ``shown``: chance, floor, and further metrics of the trials."""
    without = {*shown, *REFERENCES}
    names = measured_names(frame, phase)
    attacks = attacks_of(names)
    further = [
        name
        for name in names
        if name not in without
        and name.partition(".")[2] not in attacks
        and ((found := known(name)) is None or found.entry.in_tables)
    ]
    return [column_of(name) for name in (*REFERENCES, *further)]


def columns_of_attacks(frames: Iterable[pd.DataFrame], phase: Phase) -> list[MetricColumn]:
    """The columns beside an attack's score; metrics of no installed package come last."""
    names = dict.fromkeys(name for frame in frames for name in measured_names(frame, phase))
    attacks = attacks_of(names)
    measured = [kind for kind, _, a in (name.partition(".") for name in names) if a in attacks]
    shown = [
        name
        for name, metric in METRICS.items()
        if metric.per_attack and metric.in_tables and name not in SCORES
        and (name in measured or METRICS.package(name) == OWN_PACKAGE)
    ]  # fmt: skip
    unknown = [kind for kind in dict.fromkeys(measured) if kind not in METRICS]
    return [column_of(name) for name in (*shown, *unknown)]


def attacks_of(names: Iterable[str], kinds: Iterable[str] = SCORES) -> list[str]:
    """Attacks that have one of the given metrics, in the order of ``names``."""
    found = (known(name) for name in names)
    wanted = tuple(kinds)
    return list(dict.fromkeys(f.attack for f in found if f and f.attack and f.kind in wanted))
