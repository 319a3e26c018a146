"""Every explored setting as a line through parallel axes: searched keys, then objectives."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from reports.explored import completed_trials, stopped_trials, values_of
from reports.figures.chart import Axis, Chart, Line, Mark, Panel, Points, Ruler, Values, key
from reports.figures.key_axis import bounds_of, unit_of
from reports.figures.style import NEUTRAL, colour, shape
from reports.front_groups import front_groups
from reports.objectives import is_parameter, label_of, scale_of
from reports.results import SearchResults
from reports.wording import MISSING, describe_setting, parameter_symbol, parameter_value

OTHERS = "stopped, failed or running: no final values"
_LINE = 13  # characters of a line below an axis
_HOVER = "%{text}<extra></extra>"


class Coordinates(NamedTuple):
    """Explore trials on parallel axes.

    Attributes:
        rulers: of the axes, A many.
        places: of trial and axis, ``(N, A)``, from 0 to 1; NaN where a trial has no value.
        trials: a row a trial: the ``label`` of its front, ``text`` (trial, status and setting), its
            ``key`` (`SearchResults.keys_on`), and whether it is ``completed``.
        labels: of the fronts, in the order of the figure of the fronts.
    """

    rulers: tuple[Ruler, ...]
    places: Values
    trials: pd.DataFrame
    labels: tuple[str, ...]


def coordinates(searches: Sequence[SearchResults], by: str = "") -> Coordinates:
    """All explore trials of searches with equal objectives.

    Axes of numbers go from end to end of the searched range, or further to the values of trials
    outside it, such as the paper's default. ``by`` is as in `reports.front_groups.front_groups`.
    """
    parts = [_of_search(results, by, len(searches) > 1) for results in searches]
    labels = [name for part in parts for name in part["label"].cat.categories]
    frame = pd.concat([part.astype({"label": str}) for part in parts])
    space = {key: spec for results in searches for key, spec in results.space.items()}
    found = [_axis_of_key(frame, key, spec) for key, spec in space.items()]
    found += _axes_of_objectives(searches, frame)
    kept = [(ruler, places) for ruler, places in found if not np.isnan(places).all()]
    places = (
        np.array([places for _, places in kept], dtype=np.float64).reshape(len(kept), len(frame)).T
    )
    trials = frame[["label", "text", "key", "completed"]].reset_index(drop=True)
    shown = [name for name in labels if name in set(frame["label"][frame["on_figure"]])]
    return Coordinates(tuple(ruler for ruler, _ in kept), places, trials, tuple(shown))


def coordinates_chart(searches: Sequence[SearchResults], by: str = "") -> Chart:
    """Draw a line a trial; those of one front have one colour, which is that of their front."""
    found = coordinates(searches, by)
    if not len(found.trials) or not found.rulers:
        return Chart((), nothing="no explored settings yet")
    completed = found.trials["completed"].to_numpy(dtype=bool)
    # Drawn first, below the others, and last in the legend.
    marks: list[Mark] = list(_marks(found, ~completed, NEUTRAL, OTHERS, 0.35))
    for index, label in enumerate(found.labels):
        mine = completed & (found.trials["label"] == label).to_numpy(dtype=bool)
        marks.append(key(label, colour(index), size=5))
        marks += _marks(found, mine, colour(index), label, 0.75, dash=shape(index)[1])
    if not completed.all():
        marks.append(key(OTHERS, NEUTRAL, size=5))
    ends = [_ends(ruler) for ruler in found.rulers]
    x = Axis(categories=ends, limits=(-0.3, len(ends) - 0.7))
    y = Axis(limits=(-0.05, 1.05), categories=("lower end", "upper end"))
    panel = Panel(marks, x, y, rulers=found.rulers)
    return Chart([panel], width=max(7.16, 1.05 * len(ends)), height=4.0)


def _of_search(results: SearchResults, by: str, several: bool) -> pd.DataFrame:
    """Explore trials with what figures show of them, and their objectives under plain names."""
    explore = results.explore
    done = completed_trials(results).index
    values = pd.DataFrame(values_of(results, explore), explore.index, list(results.aims.names))
    groups = front_groups(results, by).cat
    prefix = f"{results.name}: " if several else ""
    return explore.assign(
        label=groups.rename_categories([f"{prefix}{label}" for label in groups.categories]),
        # Whether the figure of the fronts has it; a front without such a trial has no colour there.
        on_figure=explore.index.isin(done.union(stopped_trials(results).index)),
        text=[
            f"{row['trial_id']} ({row['status']}): {describe_setting(row, results.space)}"
            for row in explore.to_dict("records")
        ],
        key=results.keys_on(explore),
        completed=explore.index.isin(done),
        **{f"value.{name}": values[name] for name in values},
    )


def _axis_of_key(frame: pd.DataFrame, key: str, specification: Any) -> tuple[Ruler, Values]:
    column = frame.get(f"param.{key}", pd.Series(None, frame.index, dtype=object))
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    options = specification if isinstance(specification, dict) else {}
    bounds = [bound.x for bound in bounds_of(key, options)]
    if "choice" in options or not bounds or numbers.isna().sum() > column.isna().sum():
        return _axis_of_choices(key, column, options.get("choice") or [])
    values = np.array(unit_of(key) * numbers, dtype=np.float64)
    reached = [*bounds, *values[np.isfinite(values)]]
    low, high = float(min(reached)), float(max(reached))
    is_log = bool(options.get("log")) and low > 0
    ruler = Ruler(parameter_symbol(key), low, high, is_log, unit="/255" if unit_of(key) > 1 else "")
    return ruler, ruler.places(values)


def _axis_of_choices(key: str, column: pd.Series, given: Sequence[Any]) -> tuple[Ruler, Values]:
    """Choices in the order of the file, then those that only trials outside it have."""
    texts = [parameter_value(key, value) for value in column]
    found = [text for text in dict.fromkeys(texts) if text != MISSING]
    choices = tuple(dict.fromkeys([*(parameter_value(key, value) for value in given), *found]))
    ruler = Ruler(parameter_symbol(key), 0.0, float(max(len(choices) - 1, 0)), choices=choices)
    at = [choices.index(text) if text in choices else np.nan for text in texts]
    return ruler, ruler.places(np.array(at, dtype=np.float64))


def _axes_of_objectives(
    searches: Sequence[SearchResults], frame: pd.DataFrame
) -> Iterator[tuple[Ruler, Values]]:
    """Objectives of completed trials; a key that is an objective has its axis already."""
    for objective in searches[0].aims.objectives:
        if is_parameter(objective.name):
            continue
        values = frame[f"value.{objective.name}"].where(frame["completed"]).to_numpy(np.float64)
        scale = scale_of(objective.name, values)
        shown = scale.factor * values
        finite = shown[np.isfinite(shown)]
        if len(finite):
            label = label_of(objective.name) + ("" if objective.maximise else ", lower is better")
            unit = f"\N{NO-BREAK SPACE}{scale.symbol}" if scale.symbol else ""
            ruler = Ruler(label, float(finite.min()), float(finite.max()), unit=unit)
            yield ruler, ruler.places(shown)


def _ends(ruler: Ruler) -> str:
    """Label of an axis with what lies at its ends, in lines that leave room for its neighbours."""
    # A key such as defense.clip_gradients has no spaces to break at.
    label = ruler.label.replace(".", ". ") + (" (log)" if ruler.is_log else "")
    between = f"{ruler.low:.3g} to {ruler.high:.3g}{ruler.unit}"
    lines = textwrap.wrap(label, _LINE) + textwrap.wrap(", ".join(ruler.choices) or between, _LINE)
    return "\n".join(line.rstrip() for line in lines)


def _marks(
    found: Coordinates, mine: np.ndarray, shade: str, group: str, opacity: float, **line: Any
) -> Iterator[Mark]:
    """The lines and corners of trials of one look: one mark each, with gaps between the trials."""
    if not mine.any():
        return
    axes, count = len(found.rulers), int(mine.sum())
    x = np.tile([*range(axes), np.nan], count)
    y = np.column_stack([found.places[mine], np.full(count, np.nan)]).ravel()
    texts, keys = (
        [text for text in found.trials[name][mine] for _ in range(axes + 1)]
        for name in ("text", "key")
    )
    look: Any = {"group": group, "opacity": opacity, "keys": keys}
    yield Line(x, y, shade, width=1.1, **look, **line)
    yield Points(x, y, shade, size=3.5, edge="", texts=texts, hover=_HOVER, **look)
