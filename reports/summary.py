"""The first screen of a report: which setting, what does it gain, and may it be believed."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from reports.confirmed import GATES_FAILED, ConfirmedConfig, Gain
from reports.explored import bits_label, completed_trials
from reports.front_groups import front_groups
from reports.metric_columns import column_of, symbols
from reports.results import SearchResults, final_metrics_of
from reports.statistics import SEEDS_FOR_SIGNIFICANCE
from reports.tables import Table
from reports.tracked_runs import addressed
from reports.wording import (
    MISSING,
    ROLES,
    capital,
    duration,
    percent,
    points,
    symbol_meanings,
)
from saat.metrics import OBJECTIVES
from saat.sanity import warning_lines
from saat.wording import counted

_ALTERNATIVES = 2  # that the first line names


class Answer(NamedTuple):
    """One line of the headline."""

    question: str
    text: str
    level: str = ""  # ``yes``, ``caution`` or ``no``, which colours the line


def headline(
    results: SearchResults, configs: Sequence[ConfirmedConfig], gains: Sequence[Gain]
) -> list[Answer]:
    """Answer three questions: which setting, what does it gain, may I believe it.

    The setting is :func:`picked`.
    """
    pick = picked(configs)
    if pick is None:
        return [
            Answer("Which setting?", _nothing(results, configs)),
            Answer("What does it gain?", "Nothing was confirmed on test queries."),
            Answer("May I believe it?", "There is nothing to believe yet.", "no"),
        ]
    level, belief = _belief(results, pick, gains)
    return [
        Answer("Which setting?", _use(pick, configs)),
        Answer("What does it gain?", _gained(pick, configs, gains)),
        Answer("May I believe it?", belief, level),
    ]


def picked(configs: Sequence[ConfirmedConfig]) -> ConfirmedConfig | None:
    """The setting that the headline names; None if no setting was recommended or compared.

    It is the first recommended setting that has no doubt and is not behind the paper's default in
    both MAPs. If all without a doubt are behind it, it is the default; if all have doubts, the
    first one. In a comparison it is the setting with the highest robust MAP.
    """
    recommended = [config for config in configs if config.role == "recommended"]
    trained = [config for config in configs if config.role not in ("default", "undefended")]
    trained.sort(key=lambda config: -config.mean("robust_map"))
    candidates = recommended or trained
    sound = [config for config in candidates if not config.doubts]
    defaults = [config for config in configs if config.role == "default" and not config.doubts]
    ahead = [next((d for d in defaults if _overtakes(d, config)), config) for config in sound]
    better = [config for config in ahead if config.role != "default"]
    return next(iter([*better, *ahead, *candidates]), None)


def warnings(
    results: SearchResults, configs: Sequence[ConfirmedConfig], gains: Sequence[Gain]
) -> list[str]:
    """What limits the numbers, most important first: a sentence each."""
    ended = results.trials[results.trials["status"] == "completed"]
    doubted = [config for config in configs if config.gates.startswith("unreliable")]
    return [
        *(f"{capital(config.label)} is {config.gates}" for config in doubted),
        *warning_lines(
            dict(zip(_names_of(ended["trial_id"], configs), final_metrics_of(ended), strict=True))
        ),
        *_overtaken(configs),
        *_few_seeds(gains),
        *_lone_trials(results),
        *results.notices,
    ]


def _names_of(trials: Iterable[str], configs: Sequence[ConfirmedConfig]) -> list[str]:
    """What readers call trials: by their setting and seed, where tables have it; else by id."""
    known = {
        trial: f"{_name(config)}, seed {seed}"
        for config in configs
        for trial, seed in zip(config.trials["trial_id"], config.trials["seed"], strict=True)
    }
    return [known.get(trial, trial) for trial in trials]


def summary_table(confirmed: Sequence[ConfirmedConfig]) -> Table:
    """Recommended settings, the paper's default and the undefended model, a row each.

    The latter two have the code lengths of the recommended settings, if there are any.
    """
    lengths = {config.bits for config in confirmed if config.role == "recommended"}
    configs = [c for c in confirmed if not lengths or c.bits in lengths]
    # The undefended model has no defense, so nothing that was searched for one.
    settings = [MISSING if config.role == "undefended" else config.setting for config in configs]
    columns: dict[str, list[Any]] = {
        "setting": [_name(config) for config in configs],
        "parameters": settings,
    }
    for name in reversed(OBJECTIVES):
        label = column_of(name).label
        columns[label] = [config.mean(name) for config in configs]
        columns[f"{label} low"] = [config.bands[name].low for config in configs]
        columns[f"{label} high"] = [config.bands[name].high for config in configs]
    columns |= {
        "seeds": [len(config.trials) for config in configs],
        "gates": [_gates(config) for config in configs],
        "cost": [duration(float(config.trials["cost_s"].mean())) for config in configs],
        **addressed([config.address for config in configs]),
    }
    objectives = [column_of(name) for name in OBJECTIVES]
    return Table(
        "summary",
        _caption(settings),
        pd.DataFrame(columns),
        fractions=symbols(objectives),
        estimates=tuple(column.label for column in objectives),
    )


def _caption(settings: Sequence[str]) -> str:
    sentences = [
        "Test queries: mean and 95 % interval over seeds and queries",
        "Gates say whether attacks had a fair chance; cost is the mean time of a training and its "
        "evaluation",
        "Gains above are taken before rounding",
    ]
    meanings = symbol_meanings(settings)
    return ". ".join([*sentences, *([", ".join(meanings)] if meanings else [])])


def _name(config: ConfirmedConfig) -> str:
    role = "" if config.role == "recommended" else ROLES.get(config.role, config.role)
    named = " ".join(filter(None, (role, config.letter, config.stratum)))
    return f"{named}, {bits_label(config.bits)}" if config.bits >= 0 else named


def _gates(config: ConfirmedConfig) -> str:
    """The gates in a word, and what needs no gate to be seen."""
    words = {"all gates passed": "passed", "not checked": "not checked"}
    return ", ".join(
        [words.get(config.gates, "failed"), *(d for d in config.doubts if d != GATES_FAILED)]
    )


def _nothing(results: SearchResults, configs: Sequence[ConfirmedConfig]) -> str:
    if not len(results.explore):
        return "None: nothing was searched."
    if configs:
        return "None: the search recommends no setting."
    done = len(completed_trials(results))
    if not done:
        return "None yet: no explored trial has completed."
    return f"None yet: {counted(done, 'trial')} completed, and no setting is confirmed."


def _use(pick: ConfirmedConfig, configs: Sequence[ConfirmedConfig]) -> str:
    """The setting, others that are better in at least one MAP, and one that only seems better."""
    others = [
        c
        for c in configs
        if c.role == "recommended" and c is not pick and not _behind(c, pick) and not c.collapsed
    ]
    sound = [other for other in others if not other.doubts]
    text = f"Use {_described(pick)}"
    if pick.role == "default":
        text = f"Keep the {_described(pick)}; no recommended setting that can be trusted is better"
    for other in sound[:_ALTERNATIVES]:
        text += f"; or {_described(other)} ({_difference(other, pick)})"
    more = len(sound) - _ALTERNATIVES
    text += f"; or {more} more" if more > 0 else ""
    name = OBJECTIVES[-1]
    for other in others:
        if not pick.doubts and other.doubts and other.mean(name) > pick.mean(name):
            why = ", ".join(other.doubts)
            return f"{text}. Not {_name(other)} ({_difference(other, pick)}): {why}."
    return f"{text}."


def _difference(other: ConfirmedConfig, pick: ConfirmedConfig) -> str:
    robust, clean = (points(other.mean(name) - pick.mean(name)) for name in reversed(OBJECTIVES))
    return f"{robust} robust and {clean} clean against {pick.letter or _name(pick)}"


def _overtakes(other: ConfirmedConfig, config: ConfirmedConfig) -> bool:
    """Whether another setting of the same length and stratum is better in both MAPs."""
    alike = (other.bits, other.stratum) == (config.bits, config.stratum)
    return alike and _behind(config, other)


def _behind(config: ConfirmedConfig, other: ConfirmedConfig) -> bool:
    """Whether a setting has less clean and less robust MAP on test queries than another one."""
    return all(config.mean(name) < other.mean(name) for name in OBJECTIVES)


def _described(config: ConfirmedConfig) -> str:
    return f"{_name(config)}: {config.setting}" if config.setting else _name(config)


def _gained(
    pick: ConfirmedConfig, configs: Sequence[ConfirmedConfig], gains: Sequence[Gain]
) -> str:
    found = [gain for gain in gains if gain.recommended is pick]
    parts = []
    if found:
        named = {gain.metric: _with_interval(gain) for gain in found}
        robust, clean = (named[name] for name in reversed(OBJECTIVES))
        parts.append(
            f"{robust} points robust and {clean} points clean MAP over the paper's default"
            + (" (95 % intervals)" if "[" in robust else "")
        )
    bare = [
        config
        for config in configs
        if config.role == "undefended" and config.bits == pick.bits and not config.collapsed
    ]
    if bare and bare[0] is not pick and not pick.collapsed:
        robust, clean = (points(pick.mean(n) - bare[0].mean(n)) for n in reversed(OBJECTIVES))
        parts.append(f"{robust} robust and {clean} clean over undefended")
    if parts:
        label = f"{pick.letter}: " if pick.letter and len(configs) > 1 else ""
        return label + "; ".join(parts) + "."
    robust, clean = (percent(pick.mean(name)) for name in reversed(OBJECTIVES))
    return f"Nothing to compare with: {robust} robust and {clean} clean MAP on test queries."


def _with_interval(gain: Gain) -> str:
    found = gain.comparison
    if found.low != found.low:
        return points(found.mean)
    return f"{points(found.mean)} [{points(found.low)}, {points(found.high)}]"


def _belief(
    results: SearchResults, pick: ConfirmedConfig, gains: Sequence[Gain]
) -> tuple[str, str]:
    """Level and sentence: doubts about the numbers forbid it, other limits ask for caution."""
    limits = _limits(pick, gains)
    if results.notices:
        limits.append("the front lies at an end of the space")
    above = pick.mean("robust_map") - pick.mean("chance_map")
    side = "below" if above < 0 else "above"
    robust = f"robust MAP is {points(abs(above)).lstrip('+')} points {side} chance"
    gates = "all gates passed" if pick.gates == "all gates passed" else ""
    rest = "; ".join(filter(None, (gates, robust)))
    if pick.doubts:
        return "no", f"No: {'; '.join([*pick.doubts, *limits])}."
    if limits:
        return "caution", f"With caution: {'; '.join(limits)}. {capital(rest)}."
    gain = "" if pick.role == "default" else "; the gain is significant"
    return "yes", f"Yes, under this protocol: {rest}{gain}."


def _limits(pick: ConfirmedConfig, gains: Sequence[Gain]) -> list[str]:
    """What keeps a sound setting from being believed without caution."""
    seeds = len(pick.trials)
    compared = [gain.comparison for gain in gains if gain.recommended is pick]
    worse = any(found.mean <= 0 for found in compared[:1])
    limits = {
        f"{counted(seeds, 'seed')}, and a claim of significance needs {SEEDS_FOR_SIGNIFICANCE}, "
        "whatever the interval": seeds < SEEDS_FOR_SIGNIFICANCE,
        "gates not checked": pick.gates == "not checked",
        "not compared with the paper's default": not compared and pick.role != "default",
        "robust MAP is not above that of the paper's default": worse,
        "the gain in robust MAP is not significant": any(
            found.verdict.startswith("not significant") for found in compared[:1]
        ),
    }
    return [limit for limit, holds in limits.items() if holds]


def _few_seeds(gains: Sequence[Gain]) -> list[str]:
    fewest = min((len(gain.comparison.differences) for gain in gains), default=None)
    if fewest is None or fewest >= SEEDS_FOR_SIGNIFICANCE:
        return []
    return [
        f"{counted(fewest, 'seed is', 'seeds are')} too few for a claim of significance; "
        f"set confirm.seeds to {SEEDS_FOR_SIGNIFICANCE} or more."
    ]


def _overtaken(configs: Sequence[ConfirmedConfig]) -> list[str]:
    """Recommended settings that another setting is at least equal to in both MAPs on test queries.

    The choice is made on validation queries, so this can happen.
    """
    sound = [config for config in configs if config.role != "undefended" and not config.doubts]
    return [
        f"{_name(config)} is behind {_name(other)} in clean and robust MAP on test queries."
        for config in sound
        if config.role == "recommended"
        for other in sound
        if other is not config and _overtakes(other, config)
    ]


def _lone_trials(results: SearchResults) -> list[str]:
    """Fronts that a single completed trial makes up, so that nothing was compared there."""
    groups, completed = front_groups(results), completed_trials(results)
    counts = groups.loc[completed.index].astype(str).value_counts()
    lone = [label for label in groups.cat.categories if counts.get(label) == 1]
    return [
        f"{capital(label)}: one trial alone completed, so no settings were compared there."
        for label in lone
    ]
