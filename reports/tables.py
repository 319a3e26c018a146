"""The numbers of a report as tables with readable headers; MAPs are fractions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from reports.confirmed import ConfirmedSetting, Gain
from reports.explored import (
    BITS,
    CLEAN,
    ROBUST,
    bit_lengths,
    completed_trials,
    feasible,
    floors,
    on_front,
)
from reports.frontier import pareto_mask
from reports.results import SearchResults, final_metrics
from reports.statistics import seed_summary
from reports.wording import ROLES, attack_notes, sentences
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
    measured = trials[CLEAN].notna(), trials["metric.test/clean_map"].notna()
    where = np.select(measured, ["validation", "test"], "validation, short attack")
    last = trials["metric.val/clean_map"].notna() | measured[0] | measured[1]
    columns: dict[str, Any] = {
        "trial": trials["trial_id"],
        "phase": trials["phase"],
        "role": trials["role"].map(lambda role: ROLES.get(role, role)),
        "status": trials["status"],
        "epochs": trials["epochs"],
    }
    for name in ("clean", "robust"):
        sources = [f"metric.{when}/{name}_map" for when in ("reattack", "test", "val")]
        columns[f"{name} MAP"] = trials[sources].bfill(axis=1).iloc[:, 0]
    columns["measured on"] = np.where(last, where, "")
    if floors(results):
        completed = completed_trials(results)
        keeps = pd.Series(feasible(results, completed), completed.index, dtype="boolean")
        columns["feasible"] = keeps.reindex(trials.index)
    columns["at chance"] = [chance_text(row) for row in trials.to_dict("records")]
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
        fractions=dict.fromkeys(("clean MAP", "robust MAP"), "%"),
        parameters=tuple(results.space),
    )


def chance_text(row: Mapping[Any, Any]) -> str:
    """Which MAPs of a trial under the full protocol are not above chance."""
    return ", ".join(at_chance(final_metrics(row)))


def front_table(searches: Sequence[SearchResults]) -> Table:
    """Trials on a Pareto front of their bit length, with the whole setting."""
    parts = [_front_rows(results) for results in searches]
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    frame.insert(3, "on union front", pareto_mask(frame[["clean MAP", "robust MAP"]].to_numpy()))
    order = ["search", "bits", "clean MAP"]
    return Table(
        "frontier",
        "Pareto fronts of clean and robust MAP, one for each bit length, on validation queries"
        + (", of feasible trials" if any(floors(results) for results in searches) else "")
        + (
            "; a setting whose robust MAP is at chance is not recommended"
            if (frame["at chance"] != "").any()
            else ""
        ),
        frame.sort_values(order, kind="stable").reset_index(drop=True),
        fractions=dict.fromkeys(("clean MAP", "robust MAP", "chance MAP", "floor MAP"), "%"),
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
        "clean MAP": front[CLEAN],
        "robust MAP": front[ROBUST],
        "at chance": [chance_text(row) for row in front.to_dict("records")],
        "chance MAP": front["metric.reattack/chance_map"],
        "floor MAP": front["metric.reattack/floor_map"],
        "cost (s)": front["cost_s"],
    }
    settings = {name: front[name] for name in front.columns if name.startswith("param.")}
    return pd.DataFrame(columns | settings)


def confirm_table(settings: Sequence[ConfirmedSetting]) -> Table:
    """Clean and robust MAP of the confirmed settings, beside chance and theoretical floor."""
    rows = []
    for setting in settings:
        row = identity(setting) | {"setting": setting.setting}
        for metric in ("clean", "robust"):
            summary, band = setting.summary(metric), setting.bands[metric]
            row |= {
                f"{metric} MAP": summary.mean,
                f"{metric} MAP std": summary.std,
                f"{metric} MAP low": band.low,
                f"{metric} MAP high": band.high,
            }
        row["reliability"] = setting.reliability
        for name in ("chance", "floor"):
            row[f"{name} MAP"] = seed_summary(setting.trials[f"metric.test/{name}_map"]).mean
        rows.append(row)
    names = [f"{metric} MAP" for metric in ("clean", "robust", "chance", "floor")]
    parts = [f"{name}{end}" for name in names[:2] for end in ("", " std", " low", " high")]
    columns = [*_IDENTITY, "setting", *parts, *names[2:], "reliability"]
    return Table(
        "confirm",
        "Test queries: mean ± standard deviation over seeds, 95 % interval over seeds and queries",
        pd.DataFrame(rows, columns=columns),
        fractions=dict.fromkeys(names, "%"),
        estimates=("clean MAP", "robust MAP"),
    )


def attacks_table(settings: Sequence[ConfirmedSetting]) -> Table:
    """MAP (t-MAP if targeted) under every attack, beside that of its representative code."""
    rows = []
    for setting in settings:
        trials = setting.trials
        for column in map(str, trials.columns):
            kind, _, attack = column.removeprefix("metric.test/").partition(".")
            if kind not in ("map", "tmap") or trials[column].isna().all():
                continue
            measured = seed_summary(trials[column])
            row = identity(setting) | {"attack": attack, "measure": _MEASURES[kind]}
            row["seeds"] = measured.n
            row |= {"MAP": measured.mean, "MAP std": measured.std}
            for name, title in _BESIDE_ATTACK.items():
                values = trials.get(f"metric.test/{name}.{attack}", pd.Series(dtype="float64"))
                row[title] = seed_summary(values).mean
            rows.append(row)
    columns = [*_IDENTITY, "attack", "measure", "MAP", "MAP std", *_PERCEPTIBILITY.values()]
    columns += ["theoretical MAP", "zero gradients"]
    return Table(
        "attacks",
        "Test queries under every attack: mean ± standard deviation over the seeds that met it"
        + sentences(attack_notes(row["attack"] for row in rows)),
        pd.DataFrame(rows, columns=columns),
        fractions=dict.fromkeys(("MAP", "theoretical MAP", "zero gradients"), "%"),
        estimates=("MAP",),
    )


def gains_table(gains: Sequence[Gain]) -> Table:
    """What each recommended setting gained over the paper's default of the same bit length."""
    rows = [
        {
            "search": gain.recommended.search,
            "role": gain.recommended.role_label,
            "bits": gain.recommended.bits,
            "metric": f"{gain.metric} MAP",
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


_MEASURES = {"map": "MAP", "tmap": "t-MAP"}
# Largest pixel change, mean L2 of the whole change, and the figures as the papers publish them.
_PERCEPTIBILITY = {
    "linf": "L∞",
    "l2": "L2",
    "matrix_linf": "∞ (published)",
    "matrix_l2": "2 (published)",
    "mse": "MSE",
}
_BESIDE_ATTACK = {"theory": "theoretical MAP", "zero_grad": "zero gradients", **_PERCEPTIBILITY}
_IDENTITY = ("search", "role", "bits", "seeds")


def identity(setting: ConfirmedSetting) -> dict[str, Any]:
    """Which setting a row is about."""
    values = (setting.search, setting.role_label, setting.bits, len(setting.trials))
    return dict(zip(_IDENTITY, values, strict=True))
