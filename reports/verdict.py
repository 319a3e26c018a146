"""What a search found, in words."""

from collections.abc import Sequence

import pandas as pd

from reports.confirmed import ConfirmedSetting, Gain
from reports.explored import (
    CLEAN,
    ROBUST,
    completed_trials,
    feasible,
    floors,
    front_extremes,
    on_front,
)
from reports.results import STATUSES, SearchResults
from reports.wording import describe_setting, duration, percent, points

_STATUS_WORDS = {"stopped": "stopped early"}


def verdict(
    results: SearchResults, settings: Sequence[ConfirmedSetting], gains: Sequence[Gain]
) -> list[str]:
    """Sentences on how the search went, its front, the test queries and what was gained."""
    explored = [*_course(results), *_front(results)] if len(results.explore) else []
    if not explored and results.experiment.get("compare") and settings:
        explored = _compared(settings)
    return [
        *(explored or _course(results)),
        *(_gain(robust, clean) for robust, clean in zip(gains[::2], gains[1::2], strict=True)),
        *_significance(gains),
        *_alone(settings, gains),
        *_beside(settings),
        *_doubts(settings),
    ]


def _doubts(settings: Sequence[ConfirmedSetting]) -> list[str]:
    """What the reliability gates found fault with."""
    return [
        f"The numbers of {setting.label} are {setting.reliability}"
        for setting in settings
        if setting.reliability.startswith("unreliable")
    ]


def _compared(settings: Sequence[ConfirmedSetting]) -> list[str]:
    """Which of the given settings holds most under its worst case, and by how much."""
    ranked = sorted(settings, key=lambda setting: -_mean(setting, "robust"))
    first, *others = ranked
    text = (
        f"{len(ranked)} settings were compared on test queries. Under its worst case "
        f"{first.label} keeps most, {percent(_mean(first, 'robust'))} robust and "
        f"{percent(_mean(first, 'clean'))} clean MAP"
    )
    if others:
        band = others[0].bands["robust"]
        text += (
            f"; {others[0].label} follows with {percent(band.mean)} "
            f"(95 % interval {percent(band.low)} to {percent(band.high)})"
        )
    return [f"{text}."]


def _course(results: SearchResults) -> list[str]:
    explore = results.explore
    if not len(explore):
        return ["There are no explore trials: nothing was searched."]
    counts = explore["status"].value_counts()
    parts = [
        f"{counts[status]} {_STATUS_WORDS.get(status, status)}"
        for status in STATUSES
        if status in counts
    ]
    spent = duration(float(explore["cost_s"].sum()))
    return [
        f"{len(explore)} trial{'s were' if len(explore) > 1 else ' was'} explored in {spent} of "
        f"work: {', '.join(parts)}."
    ]


def _front(results: SearchResults) -> list[str]:
    ends, completed = front_extremes(results), completed_trials(results)
    if not len(completed):
        return ["No explored trial has completed yet, so there is no front."]
    bound = _constraints(results, completed)
    if ends is None:
        return [f"{bound}So there is no front."]
    robust, clean = ends
    count = int(on_front(results, completed).sum())
    if count == 1:
        return [
            f"{bound}On validation queries one trial is best in both objectives: "
            f"{percent(clean[CLEAN])} clean and {percent(clean[ROBUST])} robust "
            f"MAP{_in_brackets(describe_setting(clean, results.space))}."
        ]
    ends_in_words = (
        f"{percent(row[CLEAN])} clean and {percent(row[ROBUST])} robust MAP"
        f"{_in_brackets(describe_setting(row, results.space))}"
        for row in (robust, clean)
    )
    return [
        f"{bound}On validation queries {count} of {len(completed)} completed trials are on the "
        f"front, from {' to '.join(ends_in_words)}."
    ]


def _constraints(results: SearchResults, completed: pd.DataFrame) -> str:
    """A sentence on how many trials keep the constraints; nothing where there are none."""
    names = {CLEAN: "clean", ROBUST: "robust"}
    bounds = [f"{names[key]} MAP ≥ {percent(value)}" for key, value in floors(results).items()]
    if not bounds:
        return ""
    keeping = int(feasible(results, completed).sum())
    return (
        f"{keeping} of {len(completed)} completed trials "
        f"{'is' if keeping == 1 else 'are'} feasible ({', '.join(bounds)}). "
    )


def _gain(robust: Gain, clean: Gain) -> str:
    setting = robust.recommended
    return (
        f"{_start(setting.label)}{_in_brackets(setting.setting)}, reaches "
        f"{percent(_mean(setting, 'robust'))} robust and {percent(_mean(setting, 'clean'))} clean "
        f"MAP on test queries; against the paper's default that is {_difference(robust)} points "
        f"robust and {_difference(clean)} points clean."
    )


def _difference(gain: Gain) -> str:
    comparison = gain.comparison
    if comparison.low != comparison.low:
        return points(comparison.mean)
    interval = f"{points(comparison.low)} to {points(comparison.high)}"
    return f"{points(comparison.mean)} (95 % interval {interval})"


def _significance(gains: Sequence[Gain]) -> list[str]:
    """The verdicts of the comparisons, said once where they are all the same."""
    verdicts = {gain.comparison.verdict for gain in gains}
    if len(verdicts) == 1:
        return [f"{_start(verdicts.pop())}."]
    return [
        f"{_start(gain.recommended.label)}, {gain.metric} MAP: {gain.comparison.verdict}."
        for gain in gains
    ]


def _alone(settings: Sequence[ConfirmedSetting], gains: Sequence[Gain]) -> list[str]:
    """Settings with no default of their bits to compare with."""
    compared = {gain.recommended.label for gain in gains}
    return [
        f"{_start(setting.label)}, reaches {percent(_mean(setting, 'robust'))} robust and "
        f"{percent(_mean(setting, 'clean'))} clean MAP on test queries, over "
        f"{len(setting.trials)} seed{'s' if len(setting.trials) > 1 else ''}."
        for setting in settings
        if setting.role in ("recommended", "train") and setting.label not in compared
    ]


def _beside(settings: Sequence[ConfirmedSetting]) -> list[str]:
    """A robust MAP is close to chance, so it is never given alone."""
    if not settings:
        return []
    chance = settings[0].trials["metric.test/chance_map"].mean()
    floors = [setting.trials["metric.test/floor_map"].mean() for setting in settings]
    bare = [_mean(s, "robust") for s in settings if s.role == "undefended"]
    text = f"For comparison, a random order scores {percent(float(chance))}"
    if any(floor == floor for floor in floors):
        lowest = min(floor for floor in floors if floor == floor)
        text += f", the lowest theoretical floor is {percent(float(lowest))}"
    if bare:
        text += f", and the undefended model reaches {percent(max(bare))} robust MAP"
    return [f"{text}."]


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def _mean(setting: ConfirmedSetting, metric: str) -> float:
    return setting.summary(metric).mean


def _start(text: str) -> str:
    return text[:1].upper() + text[1:]
