"""The numbers of a report as tables with readable headers; MAPs are fractions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from reports.confirmed import ConfirmedConfig, Gain
from reports.explored import (
    BITS,
    bit_lengths,
    completed_trials,
    constraints,
    feasible,
    on_front,
)
from reports.frontier import pareto_mask
from reports.metric_columns import (
    SCORES,
    MetricColumn,
    column_of,
    columns_beside,
    columns_of_attacks,
    symbols,
)
from reports.results import SearchResults, final_metrics_of, measured_names, metric_column
from reports.wording import ROLES, attack_notes, sentences
from saat.metrics import OBJECTIVES, REFERENCES, Phase
from saat.sanity import at_chance


@dataclass(frozen=True)
class Table:
    """A table with full precision, and how its columns are shown."""

    name: str  # file stem
    caption: str
    frame: pd.DataFrame
    # Columns of fractions, which are shown times 100, and their unit there: "%" or "points".
    fractions: Mapping[str, str] = field(default_factory=dict)
    # Columns that are shown as one with their companions "… std", "… low" and "… high".
    estimates: tuple[str, ...] = ()
    # Searched parameters; other columns "param.…" are not shown.
    parameters: tuple[str, ...] = ()


def trials_table(results: SearchResults) -> Table:
    """Every trial: how it ended, what it cost, its setting and its MAPs."""
    trials = results.trials
    # Explore trials have reattack/*, confirmed and trained ones test/*, stopped ones only val/*.
    phases = (Phase.REATTACK, Phase.TEST, Phase.VALIDATION)
    measured = [trials[metric_column(phase, OBJECTIVES[0])].notna() for phase in phases]
    where = np.select(measured, ["validation", "test", "validation, short attack"], "")
    columns: dict[str, Any] = {
        "trial": trials["trial_id"],
        "phase": trials["phase"],
        "role": trials["role"].map(lambda role: ROLES.get(role, role)),
        "status": trials["status"],
        "epochs": trials["epochs"],
    }
    for name in OBJECTIVES:
        sources = [metric_column(phase, name) for phase in phases]
        columns[column_of(name).label] = trials[sources].bfill(axis=1).iloc[:, 0]
    columns["measured on"] = where
    if constraints(results).minimum:
        completed = completed_trials(results)
        keeps = pd.Series(feasible(results, completed), completed.index, dtype="boolean")
        columns["feasible"] = keeps.reindex(trials.index)
    columns["at chance"] = _chance_texts(trials)
    columns |= {str(name): trials[name] for name in trials if str(name).startswith("param.")}
    columns |= {
        "seed": trials["seed"],
        "cost (s)": trials["cost_s"],
        "stop reason": trials["stop_reason"],
    }
    return Table(
        "trials",
        f"All trials of {results.name}",
        pd.DataFrame(columns).reset_index(drop=True),
        fractions=symbols(map(column_of, OBJECTIVES)),
        parameters=tuple(results.space),
    )


def _chance_texts(trials: pd.DataFrame) -> list[str]:
    """Which MAPs of every trial under the full protocol are not above chance."""
    return [", ".join(at_chance(metrics)) for metrics in final_metrics_of(trials)]


def front_table(searches: Sequence[SearchResults]) -> Table:
    """Trials on a Pareto front of their bit length, with the whole setting."""
    parts = [_front_rows(results) for results in searches]
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    objectives = [column_of(name) for name in OBJECTIVES]
    points = frame[[column.label for column in objectives]].to_numpy()
    frame.insert(3, "on union front", pareto_mask(points))
    beside = [c for r in searches for c in columns_beside(r.explore, Phase.REATTACK)]
    return Table(
        "frontier",
        "Pareto fronts of clean and robust MAP, one for each bit length, on validation queries"
        + (
            ", of feasible trials"
            if any(constraints(results).minimum for results in searches)
            else ""
        )
        + (
            "; a setting whose robust MAP is at chance is not recommended"
            if (frame["at chance"] != "").any()
            else ""
        ),
        frame.sort_values(["search", "bits", objectives[0].label], kind="stable").reset_index(
            drop=True
        ),
        fractions=symbols((*objectives, *beside)),
        parameters=tuple(
            # The code length has a column of its own.
            dict.fromkeys(k for r in searches for k in r.space if f"param.{k}" != BITS)
        ),
    )


def _front_rows(results: SearchResults) -> pd.DataFrame:
    completed = completed_trials(results)
    bits = bit_lengths(completed)
    keep = pd.Series(False, index=completed.index)
    for length in set(bits):
        keep[bits == length] = on_front(results, completed[bits == length])
    front = completed[keep]
    columns = {
        "search": pd.Series(results.name, index=front.index, dtype="string"),
        "trial": front["trial_id"],
        "bits": bits[keep],
        "role": front["role"],
        **_cells(front, map(column_of, OBJECTIVES)),
        "at chance": _chance_texts(front),
        **_cells(front, columns_beside(results.explore, Phase.REATTACK)),
        "cost (s)": front["cost_s"],
    }
    configs = {name: front[name] for name in front.columns if name.startswith("param.")}
    return pd.DataFrame(columns | configs)


def _cells(frame: pd.DataFrame, columns: Iterable[MetricColumn]) -> dict[str, pd.Series]:
    return {c.label: frame[metric_column(Phase.REATTACK, c.name)] for c in columns}


def confirm_table(configs: Sequence[ConfirmedConfig]) -> Table:
    """Clean and robust MAP of the confirmed settings, beside chance and theoretical floor."""
    beside = list(
        dict.fromkeys(c for s in configs for c in columns_beside(s.trials, Phase.TEST))
        or map(column_of, REFERENCES)
    )
    objectives = [column_of(name) for name in OBJECTIVES]
    rows = []
    for config in configs:
        row = identity(config) | {"setting": config.setting}
        for label, _, name in objectives:
            summary, band = config.summary(name), config.bands[name]
            row |= {
                label: summary.mean,
                f"{label} std": summary.std,
                f"{label} low": band.low,
                f"{label} high": band.high,
            }
        row["reliability"] = config.reliability
        row |= {label: config.mean(name) for label, _, name in beside}
        rows.append(row)
    parts = [f"{c.label}{end}" for c in objectives for end in ("", " std", " low", " high")]
    columns = [*_IDENTITY, "setting", *parts, *(c.label for c in beside), "reliability"]
    return Table(
        "confirm",
        "Test queries: mean ± standard deviation over seeds, 95 % interval over seeds and queries",
        pd.DataFrame(rows, columns=columns),
        fractions=symbols((*objectives, *beside)),
        estimates=tuple(column.label for column in objectives),
    )


def attacks_table(configs: Sequence[ConfirmedConfig]) -> Table:
    """MAP (t-MAP if targeted) under every attack, beside that of its representative code."""
    score = column_of(SCORES[0])
    beside = columns_of_attacks((config.trials for config in configs), Phase.TEST)
    rows = []
    for config in configs:
        for name in measured_names(config.trials, Phase.TEST):
            kind, _, attack = name.partition(".")
            if kind not in SCORES:
                continue
            measured = config.summary(name)
            row = identity(config) | {"attack": attack, "measure": column_of(kind).label}
            row["seeds"] = measured.n
            row |= {score.label: measured.mean, f"{score.label} std": measured.std}
            row |= {label: config.mean(f"{kind}.{attack}") for label, _, kind in beside}
            rows.append(row)
    columns = [*_IDENTITY, "attack", "measure", score.label, f"{score.label} std"]
    columns += [column.label for column in beside]
    return Table(
        "attacks",
        "Test queries under every attack: mean ± standard deviation over the seeds that met it"
        + sentences(attack_notes(row["attack"] for row in rows)),
        pd.DataFrame(rows, columns=columns),
        fractions=symbols((score, *beside)),
        estimates=(score.label,),
    )


def gains_table(gains: Sequence[Gain]) -> Table:
    """What each recommended setting gained over the paper's default of the same bit length."""
    rows = [
        {
            "search": gain.recommended.search,
            "role": gain.recommended.role_label,
            "bits": gain.recommended.bits,
            "metric": column_of(gain.metric).label,
            "default's MAP": gain.default_mean,
            "recommended MAP": gain.recommended_mean,
            "gain": gain.comparison.mean,
            "gain low": gain.comparison.low,
            "gain high": gain.comparison.high,
            "common seeds": len(gain.comparison.differences),
            "verdict": gain.comparison.verdict,
        }
        for gain in gains
    ]
    names = ["search", "role", "bits", "metric", "default's MAP", "recommended MAP"]
    columns = [*names, "gain", "gain low", "gain high", "common seeds", "verdict"]
    return Table(
        "gains",
        "Gain over the paper's default at equal bits and seeds, 95 % interval of the paired t-test",
        pd.DataFrame(rows, columns=columns),
        fractions={"default's MAP": "%", "recommended MAP": "%", "gain": "points"},
        estimates=("gain",),
    )


_IDENTITY = ("search", "role", "bits", "seeds")


def identity(config: ConfirmedConfig) -> dict[str, Any]:
    """Which setting a row is about."""
    values = (config.search, config.role_label, config.bits, len(config.trials))
    return dict(zip(_IDENTITY, values, strict=True))
