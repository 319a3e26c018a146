"""From the paper's default to a recommended setting, one changed key at a time.

The order is greedy: the next change is the one after which the setting would be chosen first
(Fawcett & Hoos 2016, "Analysing differences between algorithm configurations through ablation").
They train every setting on the way; here a model predicts those that no trial has.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from harness.experiment.config import Experiment
from harness.experiment.space import Dimension
from harness.journal.state import SearchState, TrialRecord
from harness.search.final_model import FinalModel
from harness.search.recommendation import eligible_values
from reports.explanation import AblationPath, PathStep
from reports.frontier import pareto_mask
from reports.preference import score_of_choice
from saat.metrics import Phase

Part = TypeVar("Part")
Changes = Mapping[str, Any]  # key → new value; None where it does not apply any more


class _Way(NamedTuple):
    """Both ends of a path, and the changes between them; each may have several keys."""

    start: TrialRecord
    end: TrialRecord
    parts: Sequence[Changes]


def greedy_order(parts: Sequence[Part], score: Callable[[Sequence[Part]], Any]) -> list[Part]:
    """Order parts so that each one, added to those before it, has the largest score.

    Of equal scores the first part in the given order is taken.
    """
    left, order = list(parts), list[Part]()
    while left:
        scores = [score([*order, part]) for part in left]
        order.append(left.pop(scores.index(max(scores))))
    return order


def ablation_paths(
    experiment: Experiment, state: SearchState, model: FinalModel
) -> list[AblationPath]:
    """A path to each recommended setting whose ends the model knows, in the order of choice.

    It begins at the published setting that differs from the recommended one in the fewest keys: of
    the same code length, and with ``search.each`` of the same value.
    """
    known = {record.spec.trial_id: record for record in state.known()}
    chosen = [known[trial_id] for trial_id in state.recommended or () if trial_id in known]
    defaults = [
        known[trial_id] for trial_id in model.points if known[trial_id].spec.role == "default"
    ]
    paths = []
    for index, record in enumerate(chosen):
        starts = [default for default in defaults if _is_peer(experiment, default, record)]
        if record.spec.trial_id not in model.points or not starts:
            continue
        ways = [_way(experiment.space, model, start, record) for start in starts]
        way = min(ways, key=lambda way: sum(map(len, way.parts)))
        before = [one for one in chosen[:index] if _is_peer(experiment, one, record)]
        if way.parts:
            paths.append(_path(experiment, state, model, way, before))
    return paths


def _is_peer(experiment: Experiment, one: TrialRecord, other: TrialRecord) -> bool:
    """Whether two settings have the same value of the key of ``search.each``, if there is one."""
    each = experiment.search.each
    return each is None or one.point.get(each) == other.point.get(each)


def _way(
    space: Mapping[str, Dimension], model: FinalModel, start: TrialRecord, end: TrialRecord
) -> _Way:
    """The changes between two settings.

    A key that only one of them has is changed together with the keys that its ``when`` names.
    """
    first, last = model.points[start.spec.trial_id], model.points[end.spec.trial_id]
    new = {k: last.get(k) for k in space if first.get(k) != last.get(k)}
    groups: list[dict[str, Any]] = []
    for key, value in new.items():
        own = {key: value}
        if not (key in first and key in last):
            for group in [g for g in groups if set(space[key].when) & set(g)]:
                groups.remove(group)
                own = group | own
        groups.append(own)
    return _Way(start, end, groups)


def _path(
    experiment: Experiment,
    state: SearchState,
    model: FinalModel,
    way: _Way,
    before: Sequence[TrialRecord],
) -> AblationPath:
    aims = experiment.aims
    first = model.points[way.start.spec.trial_id]
    explored = eligible_values(aims, state.known())
    best = explored[pareto_mask(explored)].max(axis=0, initial=-np.inf)
    chosen = aims.oriented([aims.values(record.metrics) for record in before])

    def score(order: Sequence[Changes]) -> tuple[float, ...]:
        predicted = model.predict(_after(model, first, order))
        values = aims.oriented([predicted[name].mean for name in aims.names])
        return score_of_choice(aims, values, best, chosen)

    order = greedy_order(way.parts, score)
    trained = {
        frozenset(point.items()): state.trials.get(trial_id) or state.warm[trial_id]
        for trial_id, point in model.points.items()
    }
    points = [_after(model, first, order[:count]) for count in range(len(order) + 1)]
    ends = {0: way.start, len(order): way.end}
    shown = [_shown(experiment.space, record) for record in (way.start, way.end)]
    steps = [
        PathStep(
            {key: (shown[0].get(key), shown[1].get(key)) for key in order[i - 1]} if i else {},
            model.predict(point),
            _measured(model, ends.get(i) or trained.get(frozenset(point.items()))),
        )
        for i, point in enumerate(points)
    ]
    return AblationPath(way.end.config_hash, steps, _left_out(experiment, way))


def _after(model: FinalModel, point: Mapping[str, Any], order: Sequence[Changes]) -> dict[str, Any]:
    """A point after some changes."""
    changes = {key: value for part in order for key, value in part.items()}
    kept = {key: value for key, value in point.items() if key not in changes}
    return model.changed(kept, {k: v for k, v in changes.items() if v is not None})


def _shown(space: Mapping[str, Dimension], record: TrialRecord) -> dict[str, Any]:
    """Values of the searched keys that apply, a word such as ``auto`` of a range included."""
    flat = record.config.flat()
    return {key: flat[key] for key, d in space.items() if key in flat and d.applies(flat)}


def _measured(model: FinalModel, record: TrialRecord | None) -> dict[str, float]:
    """The metrics of the model that a trial measured on validation queries."""
    if record is None:
        return {}
    return {name: record.metrics[Phase.REATTACK.key(name)] for name in model.names}


def _left_out(experiment: Experiment, way: _Way) -> list[str]:
    """Keys in which both ends differ although the search did not vary them."""
    first, last = way.start.config.flat(), way.end.config.flat()
    return [
        key
        for key in dict.fromkeys([*first, *last])
        if key not in experiment.space and first.get(key) != last.get(key)
    ]
