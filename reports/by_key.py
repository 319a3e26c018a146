"""Tables of ``saat report --by KEY``: what each value reached, and what tuning gained."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from reports.confirmed import ConfirmedConfig, Gain, published_of
from reports.explored import above_chance, completed_trials, eligible, points_of
from reports.front_groups import front_groups, value_label
from reports.frontier import hypervolume
from reports.metric_columns import column_of
from reports.objectives import reference_text, shown_metrics
from reports.preference import order_of_choice
from reports.results import SearchResults, metric_column
from reports.tables import Table
from reports.wording import describe_setting, parameter_symbol, parameter_value, percent
from saat.metrics import OBJECTIVES, Phase

# Tuned and published setting; one of them may be missing.
Pair = tuple[ConfirmedConfig | None, ConfirmedConfig | None]
_BEST = "best robust MAP"
CLEAN, ROBUST = (metric_column(Phase.REATTACK, name) for name in OBJECTIVES)


def values_table(searches: Sequence[SearchResults], by: str) -> Table:
    """The table of the values of a searched key: budget, hypervolume, best settings.

    The searches have equal objectives, and the key in their spaces. The best robust MAP is that
    of trials with a given clean MAP at least: the one that preference or constraints ask for, or
    the highest that every value with a front reaches.
    """
    aims, wanted = searches[0].aims, _wanted_clean(searches, by)
    rows = [
        _row(results, str(label), explore, wanted, by)
        for results in searches
        for label, explore in results.explore.groupby(front_groups(results, by), observed=False)
    ]
    units = {f"its {c.label}": c.symbol for c in map(column_of, shown_metrics(aims))}
    return Table(
        "values",
        f"Each value of {by} on validation queries. Hypervolume is measured from "
        f"{reference_text(aims)}. The best robust MAP is that of trials with a clean MAP of at "
        f"least {percent(wanted)}. The recommended setting is the first that would be confirmed",
        pd.DataFrame(rows),
        fractions={_BEST: "%"} | {label: unit for label, unit in units.items() if unit},
    )


def tuned_table(
    searches: Sequence[SearchResults],
    configs: Mapping[str, Sequence[ConfirmedConfig]],
    gains: Mapping[str, Sequence[Gain]],
    by: str,
) -> Table:
    """The table of tuned against published settings on test queries, by value of a searched key.

    Differences are those of :func:`reports.confirmed.gains_over_default`: paired by seed, with the
    95 % interval of the paired t-test. A published setting without a tuned one has a row too.
    ``configs`` and ``gains`` are those of each search, by its name.
    """
    rows = [
        row
        for results in searches
        for row in _tuned_rows(results, configs[results.name], gains[results.name], by)
    ]
    labels = [column_of(name).label for name in OBJECTIVES]
    differences = {f"{label} gain": "points" for label in labels}
    levels = {f"{kind} {label}": "%" for label in labels for kind in ("published", "tuned")}
    return Table(
        "tuned",
        f"Tuned against published settings, for each value of {by}: test queries, equal seeds, "
        "95 % interval of the paired t-test",
        pd.DataFrame(rows),
        fractions=levels | differences,
        estimates=tuple(differences),
    )


def _row(
    results: SearchResults, label: str, explore: pd.DataFrame, wanted: float, by: str
) -> dict[str, Any]:
    completed = completed_trials(results)
    completed = completed[completed.index.isin(explore.index)]
    front = completed[eligible(results, completed)]
    reaching = front[front[CLEAN] >= wanted][ROBUST]
    first = _recommended(results, front)
    return {
        "search": results.name,
        by: label,
        "trials": len(explore),
        "completed": len(completed),
        "cost (s)": float(explore["cost_s"].sum()),
        "hypervolume": hypervolume(points_of(results, front), results.aims.corner),
        _BEST: float(reaching.max()) if len(reaching) else np.nan,
        "recommended setting": describe_setting(first, (k for k in results.space if k != by)),
        **{
            f"its {column_of(name).label}": first.get(metric_column(Phase.REATTACK, name), np.nan)
            for name in shown_metrics(results.aims)
        },
    }


def _recommended(results: SearchResults, front: pd.DataFrame) -> dict[Any, Any]:
    """The sampled trial that is recommended first among eligible ones; empty if none is."""
    sampled = (front["role"] == "sampled").to_numpy(dtype=np.bool_)
    wanted = sampled & above_chance(results, front)
    chosen = order_of_choice(results.aims, points_of(results, front), wanted, 1)
    return front.iloc[chosen[0]].to_dict() if chosen else {}


def _wanted_clean(searches: Sequence[SearchResults], by: str) -> float:
    """The clean MAP at which values are compared: asked for, or reached by all with a front."""
    aims = searches[0].aims
    bounds = aims.preference.bounds if aims.preference else ()
    preferred = dict(zip(aims.names, bounds, strict=False)).get(OBJECTIVES[0])
    asked = aims.constraints.at_least.get(OBJECTIVES[0]) if preferred is None else preferred
    if asked is not None:
        return asked
    best = []
    for results in searches:
        completed = completed_trials(results)
        allowed = completed[eligible(results, completed)]
        groups = front_groups(results, by).loc[allowed.index]
        best += allowed.groupby(groups.astype(str))[CLEAN].max().tolist()
    return float(min(best, default=math.nan))


def _tuned_rows(
    results: SearchResults, configs: Sequence[ConfirmedConfig], gains: Sequence[Gain], by: str
) -> Iterator[dict[str, Any]]:
    """A row for each tuned setting, then one for each published setting without a tuned one."""
    tuned = [config for config in configs if config.role == "recommended"]
    pairs: list[Pair] = [(config, published_of(config, configs)) for config in tuned]
    compared = {published.config_hash for _, published in pairs if published}
    pairs += [
        (None, config)
        for config in configs
        if config.role == "default" and config.config_hash not in compared
    ]
    order = list(front_groups(results, by).cat.categories)
    rows = [_tuned_row(results, pair, gains, by) for pair in pairs]
    yield from sorted(
        rows, key=lambda row: order.index(row[by]) if row[by] in order else len(order)
    )


def _tuned_row(
    results: SearchResults, pair: Pair, gains: Sequence[Gain], by: str
) -> dict[str, Any]:
    tuned, published = pair
    known = next(config for config in pair if config is not None)
    row: dict[str, Any] = {
        "search": results.name,
        by: value_label(by, known.parameter(by)),
        "bits": known.bits,
    }
    found = {gain.metric: gain for gain in gains if gain.recommended is tuned}
    for name in OBJECTIVES:
        label, gain = column_of(name).label, found.get(name)
        old = gain.default_mean if gain else published.mean(name) if published else np.nan
        new = gain.recommended_mean if gain else tuned.mean(name) if tuned else np.nan
        row[f"published {label}"], row[f"tuned {label}"] = old, new
        row[f"{label} gain"] = gain.comparison.mean if gain else np.nan
        row[f"{label} gain low"] = gain.comparison.low if gain else np.nan
        row[f"{label} gain high"] = gain.comparison.high if gain else np.nan
    seeds = [len(gain.comparison.differences) for gain in found.values()]
    row["common seeds"] = seeds[0] if seeds else 0
    row["moved"] = _moved(results, tuned, published, by) if tuned and published else ""
    row["verdict"] = _verdict(found)
    return row


def _verdict(gains: Mapping[str, Gain]) -> str:
    """What the tests say of each metric, once where they say the same."""
    verdicts = {column_of(name).label: gain.comparison.verdict for name, gain in gains.items()}
    if len(set(verdicts.values())) == 1:
        return next(iter(verdicts.values()))
    return "; ".join(f"{label}: {verdict}" for label, verdict in verdicts.items())


def _moved(
    results: SearchResults, tuned: ConfirmedConfig, published: ConfirmedConfig, by: str
) -> str:
    """The searched keys whose values differ, from the published to the tuned value."""
    pairs = {
        key: [parameter_value(key, config.parameter(key)) for config in (published, tuned)]
        for key in results.space
        if key != by
    }
    return ", ".join(
        f"{parameter_symbol(key)} {old} → {new}" for key, (old, new) in pairs.items() if old != new
    )
