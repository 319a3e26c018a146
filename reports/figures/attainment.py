"""How far the fronts of several searches, or of several training seeds, agree."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from reports.attainment import FEWEST, AttainmentSurfaces, attainment_surfaces
from reports.confirmed import ConfirmedConfig
from reports.explored import completed_trials, on_front, points_of, values_of
from reports.figures.chart import Chart, Dash, Letters, Line, Mark, Panel, Points
from reports.figures.frontier import View
from reports.figures.style import NEUTRAL, colour
from reports.objectives import scale_of
from reports.results import SearchResults
from saat.feasibility import Aims
from saat.metrics import OBJECTIVES

Fronts = Mapping[str, np.ndarray]  # label → points (n, m), oriented: larger is better

# Surface → its words, dash and width.
_LOOKS: Mapping[str, tuple[str, Dash, float]] = {
    "best": ("best: reached by at least one", "dot", 1.6),
    "median": ("median: reached by at least half", "solid", 3.0),
    "worst": ("worst: reached by all", "dash", 1.6),
}
_BLACK = "#555555"  # as the line of chance: readable on white and on dark pages


def search_fronts(searches: Sequence[SearchResults]) -> Fronts:
    """The front of each search on validation queries; empty if it has none."""
    found = {}
    for results in searches:
        completed = completed_trials(results)
        found[results.name] = points_of(results, completed[on_front(results, completed)])
    return found


def seed_fronts(configs: Sequence[ConfirmedConfig]) -> Fronts:
    """Clean and robust MAP of the recommended settings on test queries, by training seed.

    Seeds that only some of the settings have are left out.
    """
    tables = [
        pd.DataFrame({name: config.seeds(name) for name in OBJECTIVES}, config.trials["seed"])
        for config in configs
        if config.role == "recommended"
    ]
    common = sorted(set.intersection(*(set(table.index) for table in tables))) if tables else []
    return {f"seed {seed}": np.array([table.loc[seed] for table in tables]) for seed in common}


def attainment_chart(searches: Sequence[SearchResults]) -> Chart:
    """Draw the fronts of searches, and the surfaces that one, half and all of them reach.

    The searches have the same two objectives. Letters name the recommended settings.
    """
    aims, fronts = searches[0].aims, search_fronts(searches)
    if len(aims.objectives) != 2 or len(fronts) < FEWEST or not any(map(len, fronts.values())):
        return Chart(())
    panel = _panel(aims, fronts, _lettered(searches))
    return Chart([panel], height=5.2, legend_columns=2)


def _lettered(searches: Sequence[SearchResults]) -> pd.DataFrame:
    """Objectives and letter of the recommended settings of searches, on validation queries."""
    rows = []
    for results in searches:
        completed = completed_trials(results)
        values = dict(zip(results.aims.names, values_of(results, completed).T, strict=True))
        found = pd.DataFrame({**values, "letter": results.letters_on(completed)})
        rows.append(found[found["letter"] != ""])
    return pd.concat(rows)


def seeds_chart(configs: Sequence[ConfirmedConfig]) -> Chart:
    """Draw the recommended settings under each seed, and the surfaces over seeds."""
    fronts = seed_fronts(configs)
    if len(fronts) < FEWEST:
        return Chart(())
    aims = Aims.of({})
    chosen = [config for config in configs if config.role == "recommended"]
    means = {name: [config.mean(name) for config in chosen] for name in OBJECTIVES}
    named = pd.DataFrame({**means, "letter": [config.letter for config in chosen]})
    panel = _panel(aims, fronts, named)
    marks = list(panel.marks)
    others = [config for config in configs if config.role == "default"]
    if others:
        x, y = (100 * np.concatenate([c.seeds(name) for c in others]) for name in OBJECTIVES)
        marks.append(Points(x, y, NEUTRAL, "paper's default, every seed", symbol="star", size=9))
    return Chart([Panel(marks, panel.x, panel.y)], height=5.2, legend_columns=2)


def _panel(aims: Aims, fronts: Fronts, named: pd.DataFrame) -> Panel:
    """Points and surfaces of the fronts, for two objectives.

    ``named`` has the objectives of settings in their own units, and their ``letter``.
    """
    rows = {label: _rows(aims, points) for label, points in fronts.items()}
    everything = pd.concat(list(rows.values()))
    scales = {name: scale_of(name, everything[name]) for name in aims.names}
    x, y = aims.objectives
    view = View(x, y, scales, has_lines=True)
    marks: list[Mark] = []
    hover = view.hover().removeprefix("%{text}<br>")
    for index, (label, frame) in enumerate(rows.items()):
        look: Any = {"group": label, "opacity": 0.75, "size": 5, "hover": hover}
        marks.append(Points(*view.coordinates(frame), colour(index), label, **look))
    marks += _surfaces(aims, view, attainment_surfaces(list(fronts.values())))
    marks.append(Letters(*view.coordinates(named), list(named["letter"])))
    return Panel(marks, *view.axes())


def _surfaces(aims: Aims, view: View, surfaces: AttainmentSurfaces) -> Iterator[Line]:
    for name, points in surfaces._asdict().items():
        label, dash, width = _LOOKS[name]
        look: Any = {"label": label, "dash": dash, "width": width}
        yield view.front_line(_rows(aims, points), _BLACK, **look)


def _rows(aims: Aims, points: np.ndarray) -> pd.DataFrame:
    """Oriented points (n, m) as rows of objectives in their own units."""
    # Negating those of minimised objectives undoes itself.
    return pd.DataFrame(aims.oriented(points.reshape(-1, len(aims.names))), columns=aims.names)
