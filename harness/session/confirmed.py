"""The settings measured on test queries: a table for a terminal, and what is recommended."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

from harness.experiment.config import Experiment
from harness.experiment.configs import headline_metrics, varied_keys
from harness.journal.state import SearchState, TrialRecord
from harness.session.wording import aligned, compact_setting, short_label, value_text
from reports.wording import MISSING, ROLES, letter_at, points
from saat.metrics import METRICS, OBJECTIVES, Phase, Unit, final_metrics
from saat.sanity import at_chance, warning_lines

_ORDER = {"recommended": 0, "default": 1, "train": 2, "undefended": 3}  # as in the report


@dataclass(frozen=True)
class Confirmed:
    """One setting on test queries; its values are lists over the seeds."""

    role: str
    letter: str  # as in the report; empty where no other setting has the same role and bits
    setting: str  # in words
    config_hash: str
    point: dict[str, Any]  # the searched keys and their values
    values: dict[str, list[float]]  # plain name of a metric that all seeds have → a value a seed
    doubts: list[str]  # why the numbers cannot be taken as they are
    seeds: dict[str, int]  # id of a trial → its seed

    @property
    def label(self) -> str:
        """``recommended A``."""
        return f"{ROLES.get(self.role, self.role)} {self.letter}".rstrip()

    def mean(self, name: str) -> float:
        """Mean of a metric over the seeds."""
        return fmean(self.values[name])

    @property
    def bits(self) -> Any:
        """The code length."""
        return self.point.get("model.bits")


def confirmed_settings(experiment: Experiment, state: SearchState) -> list[Confirmed]:
    """Completed confirm and train trials by setting; recommended ones first.

    Within a role they have the order of the report: recommended settings that of choice, others by
    code length, the highest robust MAP first.
    """
    groups: dict[tuple[str, str], list[TrialRecord]] = defaultdict(list)
    for record in state.of_phase("confirm", "train"):
        if record.status == "completed" and OBJECTIVES[0] in Phase.TEST.of(record.metrics):
            groups[record.spec.role, record.config_hash].append(record)
    names = headline_metrics(experiment)
    keys = list(dict.fromkeys(["model.bits", *varied_keys(experiment)]))
    found = [(_place(records), _confirmed(records, names, keys)) for records in groups.values()]
    found.sort(
        key=lambda pair: (
            _ORDER.get(pair[1].role, len(_ORDER)),
            pair[0],
            pair[1].bits,
            -pair[1].mean(OBJECTIVES[1]),
        )
    )
    return list(_lettered(experiment, [one for _, one in found]))


def _place(records: Sequence[TrialRecord]) -> float:
    """The place of a recommended setting in the order of choice, in which it is confirmed."""
    if records[0].spec.role != "recommended":
        return math.inf
    return float(min(record.spec.number for record in records))


def _confirmed(
    records: Sequence[TrialRecord], names: Sequence[str], keys: Sequence[str]
) -> Confirmed:
    first, metrics = records[0], [final_metrics(record.metrics) for record in records]
    flat = first.config.flat()
    point = {key: flat[key] for key in keys if key in flat}
    measured = {name: [found.get(name, math.nan) for found in metrics] for name in names}
    low = dict.fromkeys(name for found in metrics for name in at_chance(found))
    doubts = ["unreliable"] if any(record.unreliable for record in records) else []
    return Confirmed(
        first.spec.role,
        "",
        compact_setting(point.items()),
        first.config_hash,
        point,
        {name: values for name, values in measured.items() if not any(map(math.isnan, values))},
        [*doubts, *(f"{name} MAP not above chance" for name in low)],
        {record.spec.trial_id: record.spec.seed for record in records},
    )


def _lettered(experiment: Experiment, found: Sequence[Confirmed]) -> Iterator[Confirmed]:
    """Letters of recommended settings, and of others that share role, bits and ``search.each``."""

    def peers(one: Confirmed) -> tuple[Any, ...]:
        if one.role == "recommended":
            return (one.role,)
        each = experiment.search.each
        return one.role, one.bits, one.point.get(each) if each else None

    for one in found:
        hashes = [other.config_hash for other in found if peers(other) == peers(one)]
        has_letter = one.role == "recommended" or len(hashes) > 1
        letter = letter_at(hashes.index(one.config_hash)) if has_letter else ""
        yield replace(one, letter=letter)


def warnings(state: SearchState, found: Sequence[Confirmed]) -> list[str]:
    """A line for every kind of warning, with the completed trials that it concerns.

    Trials of ``found`` are called by setting and seed, as in the table. Others are called by their
    id, and so are those whose setting another one is called like.
    """
    called = {
        trial_id: f"{one.label}, {one.bits} bits, seed {seed}"
        for one in found
        for trial_id, seed in one.seeds.items()
    }
    times = Counter(called.values())
    names = {trial_id: name for trial_id, name in called.items() if times[name] == 1}
    ended = [record for record in state.ended() if record.status == "completed"]
    ids = [record.spec.trial_id for record in ended]
    measured = [final_metrics(record.metrics) for record in ended]
    return warning_lines(
        {names.get(trial_id, trial_id): one for trial_id, one in zip(ids, measured, strict=True)}
    )


def confirmed_lines(found: Sequence[Confirmed], recommended: Sequence[str] | None) -> list[str]:
    """A table, and a line for each recommended setting; no line where nothing was confirmed.

    ``recommended`` are the trials whose settings are confirmed; None where nothing was searched.
    """
    if not found:
        return []
    seeds = max(len(one.values[OBJECTIVES[0]]) for one in found)
    spread = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    names = list(dict.fromkeys(name for one in found for name in one.values))
    head = ["", "setting", *(f"{short_label(name):>5}" for name in names)]
    rows = [[one.label, one.setting, *(_cell(name, one) for name in names)] for one in found]
    heading, *shown = (f"  {row}" for row in aligned([head, *rows]))
    lines = [f"on test queries, MAP in %, {spread}:", heading]
    for one, row in zip(found, shown, strict=True):
        lines.append(row)
        lines += [f"    {one.label}: {', '.join(one.doubts)}"] if one.doubts else []
    chosen = [one for one in found if one.role == "recommended"]
    lines += [f"{one.label}, {one.bits} bits: {_gain(one, found)}" for one in chosen]
    return lines if chosen or recommended is None else [*lines, "no setting is recommended"]


def _cell(name: str, one: Confirmed) -> str:
    """``64.1 ± 0.4``; of one seed the value alone."""
    values, unit = one.values.get(name, []), METRICS[name].unit
    if not values:
        return f"{MISSING:>5}"
    mean = f"{value_text(name, fmean(values), MISSING):>5}"
    if len(values) < 2 or unit is Unit.COUNT:
        return mean
    return f"{mean} ± {value_text(name, stdev(values), MISSING)}"


def _gain(one: Confirmed, found: Sequence[Confirmed]) -> str:
    """How much better a setting is than the paper's default of its length."""
    default = next((c for c in found if c.role == "default" and c.bits == one.bits), None)
    if default is None:
        return f"{one.setting}, without a default of its code length to compare with"
    robust, clean = (points(one.mean(n) - default.mean(n)) for n in reversed(OBJECTIVES))
    return f"robust {robust}, clean {clean} points over the default"
