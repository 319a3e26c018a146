"""Why each recommended setting was chosen, in one sentence."""

from collections.abc import Sequence

import numpy as np

from reports.conclusions import objectives_text
from reports.confirmed import ConfirmedConfig
from reports.explored import completed_trials, eligible, on_front, points_of
from reports.objectives import is_default, listed, names_listed, preference_text
from reports.preference import lacking
from reports.results import SearchResults
from saat.feasibility import Aims


def reasons(results: SearchResults, configs: Sequence[ConfirmedConfig]) -> list[tuple[str, str]]:
    """Pairs (letter, sentence) of the recommended settings, in the order of choice.

    The sentence has the objectives on validation queries, which the choice is made from. Settings
    whose explore trial is not in the tables are left out.
    """
    completed = completed_trials(results)
    front = on_front(results, completed)
    chosen = [config for config in configs if config.role == "recommended"]
    found = []
    for index, config in enumerate(chosen):
        rows = np.flatnonzero(completed["config_hash"] == config.config_hash)
        if len(rows):
            before = [one.letter for one in chosen[:index] if one.stratum == config.stratum]
            why = _why(results, int(rows[0]), before, bool(front[rows[0]]))
            measured = objectives_text(results, completed, int(rows[0]))
            text = f"{measured} on validation queries: {why}."
            found.append((config.letter, text))
    return found


def _why(results: SearchResults, row: int, before: Sequence[str], is_on_front: bool) -> str:
    aims, measure = results.aims, _measure(results.aims)
    if not is_on_front:
        return "not on the front of all trials, but first among the settings left to choose from"
    if aims.preference is None:
        return _adds(measure, before) + _extreme(results, row)
    asked = preference_text(aims, aims.preference)
    if aims.preference.weights is not None:
        return f"{'next in' if before else 'the best'} weighted sum ({asked})"
    point = points_of(results, completed_trials(results))[[row]]
    begin = "does not keep" if lacking(aims, point)[0] else "keeps"
    return f"{begin} what is preferred ({asked}), and {_adds(measure, before)}"


def _adds(measure: str, before: Sequence[str]) -> str:
    if not before:
        return f"alone it dominates the largest {measure}"
    return f"with {listed(before)} it dominates the largest {measure}"


def _measure(aims: Aims) -> str:
    if is_default(aims):
        return "area of clean × robust MAP"
    kind = "area" if len(aims.objectives) == 2 else "volume"
    return f"{kind} of {names_listed(aims.names)}"


def _extreme(results: SearchResults, row: int) -> str:
    """Which objectives no other eligible setting is better in."""
    completed = completed_trials(results)
    points = np.where(eligible(results, completed)[:, None], points_of(results, completed), -np.inf)
    best = [
        name
        for name, values in zip(results.aims.names, points.T, strict=True)
        if values[row] == values.max()
    ]
    return f"; best of all in {names_listed(best)}" if best else ""
