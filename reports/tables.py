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
    bits_label,
    chance_texts,
    completed_trials,
    feasible,
)
from reports.front_groups import has_fronts_of_lengths, on_fronts
from reports.frontier import pareto_mask
from reports.metric_columns import (
    SCORES,
    MetricColumn,
    column_of,
    columns_beside,
    columns_of_attacks,
    symbols,
)
from reports.objectives import names_listed, shown_metrics
from reports.results import SearchResults, measured_names, metric_column, stage_seconds
from reports.tracked_runs import addressed
from reports.wording import ROLES, STAGES, attack_notes, sentences
from saat.metrics import OBJECTIVES, REFERENCES, Phase
from saat.wording import counted


@dataclass(frozen=True)
class Table:
    """A table with full precision, and how its columns are shown."""

    name: str  # file stem
    caption: str
    frame: pd.DataFrame
    # Columns of fractions, which are shown times 100, and their unit there: "%" or "points".
    fractions: Mapping[str, str] = field(default_factory=dict)
    # Columns that are shown in one column with their companions "… std", "… low" and "… high".
    estimates: tuple[str, ...] = ()
    # Searched parameters; other columns "param.…" are not shown.
    parameters: tuple[str, ...] = ()
    # The setting of each row (`SearchResults.keys_on`), and what the page filters rows
    # by: the name of a filter → its value in each row.
    keys: Sequence[str] = ()
    facets: Mapping[str, Sequence[str]] = field(default_factory=dict)


def trials_table(results: SearchResults) -> Table:
    """The table of all trials: end, cost, setting and MAPs; recommended ones have a letter."""
    trials = results.trials
    # Explore trials have reattack/*, confirmed and trained ones test/*, stopped ones only val/*.
    phases = (Phase.REATTACK, Phase.TEST, Phase.VALIDATION)
    measured = [trials[metric_column(phase, OBJECTIVES[0])].notna() for phase in phases]
    where = np.select(measured, ["validation", "test", "validation, short attack"], "")
    columns: dict[str, Any] = {
        "trial": trials["trial_id"],
        "letter": results.letters_on(trials),
        "phase": trials["phase"],
        "role": trials["role"].map(lambda role: ROLES.get(role, role)),
        "status": trials["status"],
        "epochs": trials["epochs"],
    }
    shown = shown_metrics(results.aims)
    for name in shown:
        sources = trials.reindex(columns=[metric_column(phase, name) for phase in phases])
        columns[column_of(name).label] = sources.bfill(axis=1).iloc[:, 0]
    columns |= {str(name): trials[name] for name in trials if str(name).startswith("param.")}
    columns["measured on"] = where
    if results.aims.constraints.names:
        completed = completed_trials(results)
        keeps = pd.Series(feasible(results, completed), completed.index, dtype="boolean")
        columns["feasible"] = keeps.reindex(trials.index)
    columns["at chance"] = chance_texts(trials)
    columns |= {
        "seed": trials["seed"],
        "cost (s)": trials["cost_s"],
        "stop reason": trials["stop_reason"],
        **_addresses(results, trials),
    }
    return Table(
        "trials",
        f"All trials of {results.name}",
        pd.DataFrame(columns).reset_index(drop=True),
        fractions=symbols(map(column_of, shown)),
        parameters=tuple(results.space),
        keys=results.keys_on(trials),
        facets={
            "status": list(trials["status"]),
            "role": list(columns["role"]),
            "bits": [bits_label(bits) for bits in bit_lengths(trials)],
        },
    )


def time_table(results: SearchResults) -> Table:
    """Where the time went: mean seconds of a trial by stage, a pair of columns a phase.

    Trials of older versions, which did not count them, are left out.
    """
    seconds = stage_seconds(results.trials).dropna(how="all").fillna(0.0)
    order = [*STAGES, *(str(name) for name in seconds if name not in STAGES)]
    names = [name for name in order if name in seconds and seconds[name].any()]
    phases = results.trials["phase"].loc[seconds.index]
    columns: dict[str, Any] = {"stage": [*(STAGES.get(n, n) for n in names), "together"]}
    fractions, counts = {}, []
    for phase in phases.unique():
        of_phase = seconds.loc[phases == phase, names]
        mean = of_phase.mean().to_numpy()
        columns[f"{phase} (s)"] = [*mean, mean.sum()]
        columns[f"{phase} share"] = np.array([*mean, mean.sum()]) / (mean.sum() or 1.0)
        fractions[f"{phase} share"] = "%"
        counts.append(f"{phase}: {counted(len(of_phase), 'trial')}")
    frame = pd.DataFrame(columns)
    caption = f"Where the time went: mean seconds of a trial, {', '.join(counts)}"
    if "inner_pgd" in names:
        caption += ". On a GPU only the sum of inner PGD and outer step is exact"
    return Table("time", caption, frame if names else frame[:0], fractions=fractions)


def front_table(searches: Sequence[SearchResults], by: str = "") -> Table:
    """The table of the trials on the Pareto front of their bit length, with the whole setting.

    ``searches`` have equal objectives. If the code length is one of them, there is one front. With
    ``by`` there is one for each value of this searched key.
    """
    rows = [_front_rows(results, by) for results in searches]
    frame = pd.concat(rows, ignore_index=True)
    aims = searches[0].aims
    objectives = [column_of(name) for name in aims.names]
    points = frame[[column.label for column in objectives]].to_numpy(dtype=np.float64)
    frame.insert(4, "on union front", pareto_mask(aims.oriented(points)))
    shown = shown_metrics(aims)
    beside = [c for r in searches for c in columns_beside(r.explore, Phase.REATTACK, shown)]
    caption = f"Pareto fronts of {names_listed(aims.names)}"
    if by:
        caption += f", one for each value of {by}"
    elif all(map(has_fronts_of_lengths, searches)):
        caption += ", one for each bit length"
    caption += ", on validation queries"
    if any(results.aims.constraints.names for results in searches):
        caption += ", of feasible trials"
    if "robust_map" in aims.names and (frame["at chance"] != "").any():
        caption += "; a setting whose robust MAP is at chance is not recommended"
    order = ["search", "bits", objectives[0].label]
    # The code length has a column of its own.
    searched = dict.fromkeys(k for r in searches for k in r.space if f"param.{k}" != BITS)
    return Table(
        "frontier",
        caption,
        frame.sort_values(order, kind="stable").reset_index(drop=True),
        fractions=symbols((*map(column_of, shown), *beside)),
        parameters=tuple(searched),
    )


def _front_rows(results: SearchResults, by: str) -> pd.DataFrame:
    front = completed_trials(results)[on_fronts(results, by)]
    shown = shown_metrics(results.aims)
    columns = {
        "search": pd.Series(results.name, index=front.index, dtype="string"),
        "trial": front["trial_id"],
        "letter": pd.Series(results.letters_on(front), front.index, dtype="string"),
        "bits": bit_lengths(front),
        "role": front["role"],
        **_cells(front, map(column_of, shown)),
        **{name: front[name] for name in front.columns if name.startswith("param.")},
        "at chance": chance_texts(front),
        **_cells(front, columns_beside(results.explore, Phase.REATTACK, shown)),
        "cost (s)": front["cost_s"],
        **_addresses(results, front),
    }
    return pd.DataFrame(columns)


def _addresses(results: SearchResults, trials: pd.DataFrame) -> dict[str, pd.Series]:
    """A column with the page of each trial's run; none where no page is known."""
    found = [results.tracked.address([str(trial)]) for trial in trials["trial_id"]]
    return {n: pd.Series(c, trials.index, dtype="string") for n, c in addressed(found).items()}


def _cells(frame: pd.DataFrame, columns: Iterable[MetricColumn]) -> dict[str, pd.Series]:
    return {c.label: frame[metric_column(Phase.REATTACK, c.name)] for c in columns}


def confirm_table(configs: Sequence[ConfirmedConfig]) -> Table:
    """The table of confirmed settings: clean and robust MAP, chance and theoretical floor.

    Further objectives of their searches have a mean and a spread over seeds too.
    """
    further = dict.fromkeys(name for s in configs for name in s.further_objectives)
    known = (*OBJECTIVES, *further)
    found = dict.fromkeys(c for s in configs for c in columns_beside(s.trials, Phase.TEST, known))
    beside = list(found or map(column_of, REFERENCES))
    objectives = [column_of(name) for name in known]
    columns = identity(configs) | {"setting": [s.setting for s in configs]}
    for label, _, name in objectives:
        columns[label] = [s.mean(name) for s in configs]
        columns[f"{label} std"] = [s.summary(name).std for s in configs]
        if name in OBJECTIVES:
            columns[f"{label} low"] = [s.bands[name].low for s in configs]
            columns[f"{label} high"] = [s.bands[name].high for s in configs]
    columns["reliability"] = [s.reliability for s in configs]
    columns |= {label: [s.mean(name) for s in configs] for label, _, name in beside}
    columns |= addressed([s.address for s in configs])
    return Table(
        "confirm",
        "Test queries: mean ± standard deviation over seeds, 95 % interval over seeds and queries",
        pd.DataFrame(columns),
        fractions=symbols((*objectives, *beside)),
        estimates=tuple(column.label for column in objectives),
    )


def attacks_table(configs: Sequence[ConfirmedConfig]) -> Table:
    """The table of attacks: MAP (t-MAP if targeted), beside that of the representative code."""
    score = column_of(SCORES[0])
    beside = columns_of_attacks((config.trials for config in configs), Phase.TEST)
    # (setting, MAP or t-MAP, attack)
    rows = [
        (config, kind, attack)
        for config in configs
        for kind, _, attack in (n.partition(".") for n in measured_names(config.trials, Phase.TEST))
        if kind in SCORES
    ]
    measured = [config.summary(f"{kind}.{attack}") for config, kind, attack in rows]
    columns = identity([config for config, _, _ in rows]) | {
        "seeds": [summary.n for summary in measured],
        "attack": [attack for _, _, attack in rows],
        "measure": [column_of(kind).label for _, kind, _ in rows],
        score.label: [summary.mean for summary in measured],
        f"{score.label} std": [summary.std for summary in measured],
    }
    for label, _, name in beside:
        columns[label] = [config.mean(f"{name}.{attack}") for config, _, attack in rows]
    return Table(
        "attacks",
        "Test queries under every attack: mean ± standard deviation over the seeds that have it"
        + sentences(attack_notes(columns["attack"])),
        pd.DataFrame(columns),
        fractions=symbols((score, *beside)),
        estimates=(score.label,),
    )


def gains_table(gains: Sequence[Gain]) -> Table:
    """The table of gains of recommended settings over the default of the same bit length."""
    columns = identity([gain.recommended for gain in gains]) | {
        "metric": [column_of(gain.metric).label for gain in gains],
        "default's MAP": [gain.default_mean for gain in gains],
        "recommended MAP": [gain.recommended_mean for gain in gains],
        "gain": [gain.comparison.mean for gain in gains],
        "gain low": [gain.comparison.low for gain in gains],
        "gain high": [gain.comparison.high for gain in gains],
        "common seeds": [len(gain.comparison.differences) for gain in gains],
        "verdict": [gain.comparison.verdict for gain in gains],
    }
    return Table(
        "gains",
        "Gain over the paper's default at equal bits and seeds, 95 % interval of the paired t-test",
        pd.DataFrame(columns).drop(columns="seeds"),
        fractions={"default's MAP": "%", "recommended MAP": "%", "gain": "points"},
        estimates=("gain",),
    )


def identity(configs: Sequence[ConfirmedConfig]) -> dict[str, list[Any]]:
    """The columns that identify the setting of a row."""
    return {
        "search": [config.search for config in configs],
        "role": [config.role_label for config in configs],
        "bits": [config.bits for config in configs],
        "seeds": [len(config.trials) for config in configs],
    }
