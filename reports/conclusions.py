"""What a search found, in words."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from reports.confirmed import ConfirmedConfig, Gain
from reports.explored import (
    above_chance,
    chance_levels,
    completed_trials,
    eligible,
    feasible,
    on_front,
    points_of,
    values_of,
)
from reports.metric_columns import column_of
from reports.objectives import (
    bounds_text,
    label_of,
    listed,
    names_listed,
    preference_text,
    value_phrase,
)
from reports.preference import lacking, order_of_choice
from reports.results import STATUSES, SearchResults, metric_column
from reports.wording import capital, describe_setting, duration, percent, points
from saat.metrics import OBJECTIVES, Phase
from saat.wording import counted


def conclusions(
    results: SearchResults, configs: Sequence[ConfirmedConfig], gains: Sequence[Gain]
) -> list[str]:
    """Sentences on the course of a search, its front, its test queries and its gains."""
    if len(results.explore):
        first = [
            *_course(results),
            *_at_chance(results),
            *_front(results),
            *_preferred(results),
        ]
    elif results.section("compare") and configs:
        first = _compared(configs)
    else:
        first = ["There are no explore trials: nothing was searched."]
    return [
        *first,
        *_collapsed(configs),
        *(_gain(robust, clean) for robust, clean in zip(gains[::2], gains[1::2], strict=True)),
        *_significance(gains),
        *_without_default(configs, gains),
        *_references(configs),
        *_powerless(configs),
        *_dead_gradients(configs),
        *(
            f"The numbers of {config.label} are {config.gates}"
            for config in configs
            if config.gates.startswith("unreliable")
        ),
    ]


def _at_chance(results: SearchResults) -> list[str]:
    """How many explored settings are at chance, and whether any is left to recommend."""
    completed = completed_trials(results)
    above = above_chance(results, completed)
    if above.all():
        return []
    chance = percent(float(completed[metric_column(Phase.REATTACK, "chance_map")].median()))
    sampled = (completed["role"] == "sampled").to_numpy(dtype=bool)
    counts = [
        f"{low.sum()} {'has' if low.sum() == 1 else 'have'} a {column_of(name).label}"
        for name, low in zip(OBJECTIVES, chance_levels(completed).T, strict=True)
        if name == "clean_map" or name in results.aims.names
    ]
    found = (
        f"of {counted(len(completed), 'completed trial')}, {' and '.join(counts)} that is not "
        f"above chance ({chance})"
    )
    if not (sampled & above & feasible(results, completed)).any():
        return [f"No setting is recommended: {found}."]
    return [f"{capital(found)}; these are not recommended."]


def _collapsed(configs: Sequence[ConfirmedConfig]) -> list[str]:
    """Sentences on settings that retrieve nothing on test queries; their robust MAP is void."""
    return [
        f"{capital(config.label)}{_in_brackets(config.setting)}, retrieves nothing"
        f"{config.under(config.at_chance['clean'])}: its clean MAP of "
        f"{percent(config.mean('clean_map'))} is not above chance ({_chance(config)}), so its "
        f"robust MAP of {percent(config.mean('robust_map'))} says nothing and is compared with "
        "nothing."
        for config in configs
        if config.collapsed
    ]


def _powerless(configs: Sequence[ConfirmedConfig]) -> list[str]:
    """Sentences on settings that retrieve something, but nothing useful under attack."""
    return [
        f"The robust MAP of {config.label}, {percent(config.mean('robust_map'))}, is not above "
        f"chance ({_chance(config)}){config.under(config.at_chance['robust'])}: under attack "
        "it retrieves nothing useful."
        for config in configs
        if "robust" in config.at_chance and not config.collapsed
    ]


def _dead_gradients(configs: Sequence[ConfirmedConfig]) -> list[str]:
    """Sentences on settings whose robust MAP may be high because gradients hid the attack."""
    return [
        f"Input gradients of {config.label} are dead{config.under(len(shares))} "
        f"({', '.join(percent(share, 0) for share in shares)} exactly zero), so its robust MAP is "
        "only an upper bound: gradient attacks had little to follow."
        for config in configs
        if (shares := config.dead_gradients)
    ]


def _chance(config: ConfirmedConfig) -> str:
    return percent(config.mean("chance_map"))


def _compared(configs: Sequence[ConfirmedConfig]) -> list[str]:
    """A sentence on which of the given settings keeps most under attack, and by how much."""
    said = f"{counted(len(configs), 'setting was', 'settings were')} compared on test queries."
    ranked = sorted(
        (config for config in configs if not config.collapsed),
        key=lambda config: -config.mean("robust_map"),
    )
    if not ranked:
        return [f"{said} All of them are at chance, so none is ahead of another."]
    first, *others = ranked
    text = f"{said} Under its worst case {first.label} keeps most, {_maps(first)}"
    if others:
        band = others[0].bands["robust_map"]
        text += (
            f"; {others[0].label} follows with {percent(band.mean)} "
            f"(95 % interval {percent(band.low)} to {percent(band.high)})"
        )
    return [f"{text}."]


def _course(results: SearchResults) -> list[str]:
    explore = results.explore
    counts = explore["status"].value_counts()
    words = {status: status for status in STATUSES} | {"stopped": "stopped early"}
    parts = [f"{counts[status]} {word}" for status, word in words.items() if status in counts]
    spent = duration(float(explore["cost_s"].sum()))
    return [
        f"{counted(len(explore), 'trial was', 'trials were')} explored in {spent} of "
        f"work: {', '.join(parts)}."
    ]


def _front(results: SearchResults) -> list[str]:
    completed = completed_trials(results)
    if not len(completed):
        return ["No explored trial has completed yet, so there is no front."]
    bound = _constraints(results, completed)
    front = completed[on_front(results, completed)]
    if not len(front):
        return [f"{bound or 'No completed trial is above chance. '}So there is no front."]
    points = points_of(results, front)
    ends = [_described(results, front, int(np.argmax(values))) for values in points.T]
    found = f"{bound}On validation queries "
    if len(front) == 1:
        every = "both" if len(ends) == 2 else "all"
        return [f"{found}one trial is best in {every} objectives: {ends[0]}."]
    count = f"{len(front)} of {counted(len(completed), 'completed trial')} are on the front"
    if len(ends) == 2:
        return [f"{found}{count}, from {' to '.join(reversed(ends))}."]
    bests = zip(results.aims.names, ends, strict=True)
    return [
        f"{found}{count} of {names_listed(results.aims.names)}.",
        *(f"Best in {label_of(name)}: {end}." for name, end in bests),
    ]


def _described(results: SearchResults, frame: pd.DataFrame, row: int) -> str:
    """The objectives of a trial, and its setting in brackets."""
    setting = describe_setting(frame.iloc[row].to_dict(), results.space)
    return f"{objectives_text(results, frame, row)}{_in_brackets(setting)}"


def objectives_text(results: SearchResults, frame: pd.DataFrame, row: int) -> str:
    """The objectives of a trial: ``81.3 % clean and 42.1 % robust MAP``."""
    values = zip(results.aims.names, values_of(results, frame)[row], strict=True)
    return listed([value_phrase(name, float(value)) for name, value in values])


def _preferred(results: SearchResults) -> list[str]:
    """A sentence on the setting of the front that serves ``search.prefer`` best, if it is given."""
    aims = results.aims
    completed = completed_trials(results)
    done = completed[eligible(results, completed)]
    if aims.preference is None or not len(done):
        return []
    asked = preference_text(aims, aims.preference)
    points = points_of(results, done)
    chosen = order_of_choice(aims, points, above_chance(results, done), 1)
    if not chosen:
        return [f"Preferred: {asked}. No setting of the front is above chance."]
    setting = _described(results, done, chosen[0])
    if lacking(aims, points[chosen])[0]:
        return [f"Preferred: {asked}. No completed trial keeps it; without it, {setting} is best."]
    return [f"Preferred: {asked}. This is served best by {setting}."]


def _constraints(results: SearchResults, completed: pd.DataFrame) -> str:
    """A sentence on how many trials keep the constraints; empty if there are none."""
    bounds = bounds_text(results.aims.constraints)
    if not bounds:
        return ""
    keeping = int(feasible(results, completed).sum())
    return (
        f"{keeping} of {counted(len(completed), 'completed trial')} "
        f"{'is' if keeping == 1 else 'are'} feasible ({', '.join(bounds)}). "
    )


def _gain(robust: Gain, clean: Gain) -> str:
    config = robust.recommended
    published = f"the paper's default{f' of {config.stratum}' if config.stratum else ''}"
    return (
        f"{capital(config.label)}{_in_brackets(config.setting)}, reaches {_maps(config)} on test "
        f"queries; compared with {published} that is {_difference(robust)} points robust "
        f"and {_difference(clean)} points clean."
    )


def _maps(config: ConfirmedConfig) -> str:
    """Clean and robust MAP on test queries, and the other objectives of the search."""
    maps = listed([value_phrase(name, config.mean(name)) for name in reversed(OBJECTIVES)])
    others = [value_phrase(name, config.mean(name)) for name in config.further_objectives]
    return f"{maps}{_in_brackets(', '.join(others))}"


def _difference(gain: Gain) -> str:
    comparison = gain.comparison
    if comparison.low != comparison.low:
        return points(comparison.mean)
    interval = f"{points(comparison.low)} to {points(comparison.high)}"
    return f"{points(comparison.mean)} (95 % interval {interval})"


def _significance(gains: Sequence[Gain]) -> list[str]:
    """The verdicts of the comparisons, a single sentence if they are all equal."""
    verdicts = {gain.comparison.verdict for gain in gains}
    if len(verdicts) == 1:
        return [f"{capital(verdicts.pop())}."]
    return [
        f"{capital(gain.recommended.label)}, {column_of(gain.metric).label}: "
        f"{gain.comparison.verdict}."
        for gain in gains
    ]


def _without_default(configs: Sequence[ConfirmedConfig], gains: Sequence[Gain]) -> list[str]:
    """Sentences on settings without a default of the same bits to compare with."""
    compared = {gain.recommended.label for gain in gains}
    return [
        f"{capital(config.label)}, reaches {_maps(config)} on test queries, over "
        f"{counted(len(config.trials), 'seed')}."
        for config in configs
        if config.role in ("recommended", "train")
        and config.label not in compared
        and not config.collapsed
    ]


def _references(configs: Sequence[ConfirmedConfig]) -> list[str]:
    """A sentence with chance and the floor, which a robust MAP has to be read against."""
    if not configs:
        return []
    text = f"For comparison, a random order scores {_chance(configs[0])}"
    floors = [config.mean("floor_map") for config in configs]
    bare = [config.mean("robust_map") for config in configs if config.role == "undefended"]
    if not np.isnan(floors).all():
        text += f", the lowest theoretical floor is {percent(float(np.nanmin(floors)))}"
    if bare:
        text += f", and the undefended model reaches {percent(max(bare))} robust MAP"
    return [f"{text}."]


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""
