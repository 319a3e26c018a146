"""The trials of a search over the clock, a row a worker, and where their time went."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from reports.figures.chart import Axis, Bars, Chart, Mark, Panel
from reports.figures.style import NEUTRAL, PALETTE, colour
from reports.objectives import scale_of, with_unit
from reports.results import SearchResults, stage_seconds
from reports.wording import STAGES, describe_setting, duration

# What a bar says: of explore trials how they ended, of others their phase.
_SHADES = {
    "completed": PALETTE[0],
    "stopped early": PALETTE[1],
    "failed": "#A3182B",
    "running": NEUTRAL,
    "confirm": PALETTE[2],
    "train": PALETTE[2],
}
_PALE = 0.45
ATTACKED = "paler: after the last epoch (attacks, files)"
_WORDS = {"stopped": "stopped early"}


class Timeline(NamedTuple):
    """Trials on the clock.

    Attributes:
        trials: a row a trial, in the order in which they began: its ``kind``, its ``row``, ``text``
            and ``key`` (`SearchResults.keys_on`), and in seconds from the beginning of
            the first one its ``begin``, ``trained`` (end of its last epoch; NaN without one) and
            ``end``.
        rows: the name of each row.
    """

    trials: pd.DataFrame
    rows: tuple[str, ...]


def timeline(results: SearchResults) -> Timeline:
    """Put trials that ran at the same time on a machine into rows of their own, as few as possible.

    A trial that still runs lasts until the latest event of all. Trials of earlier versions, which
    kept no time of their beginning, are left out.
    """
    trials = results.trials[results.trials["started_at"].notna()]
    trials = trials.sort_values(["started_at", "number"], kind="stable")
    latest = np.nanmax(trials[["started_at", "finished_at"]].to_numpy(np.float64), initial=0.0)
    over = trials["status"] != "running"
    # A clock that was set back must not end a trial before it began.
    end = trials["finished_at"].where(over, latest).fillna(latest).clip(lower=trials["started_at"])
    last_epoch = results.epochs.groupby("trial_id")["finished_at"].max()
    first = float(trials["started_at"].min()) if len(trials) else 0.0
    rows, names = _rows(trials.assign(end=end))
    words = trials["status"].replace(_WORDS)
    frame = pd.DataFrame(
        {
            "kind": words.where((trials["phase"] == "explore") | (words == "failed") | ~over,
                                trials["phase"]),
            "begin": trials["started_at"] - first,
            "trained": trials["trial_id"].map(last_epoch).astype("float64") - first,
            "end": end - first,
            "row": rows,
            "text": [
                f"{row['trial_id']} ({row['status']}): {describe_setting(row, results.space)}"
                for row in trials.to_dict("records")
            ],
            "key": results.keys_on(trials),
        }
    )  # fmt: skip
    return Timeline(frame.reset_index(drop=True), tuple(names))


def timeline_chart(results: SearchResults) -> Chart:
    """Draw a bar a trial in the colour of its end, paler where it is attacked after training."""
    found = timeline(results)
    if not len(found.trials):
        return Chart(())
    scale = scale_of("device_seconds", found.trials["end"])
    marks: list[Mark] = []
    for kind, shade in _SHADES.items():
        mine = found.trials[found.trials["kind"] == kind]
        if not len(mine):
            continue
        # A trial without an epoch, or whose epochs came after its end, is of one piece.
        middle = mine["trained"].fillna(mine["end"]).clip(mine["begin"], mine["end"])
        parts = ((mine["begin"], middle, kind, 1.0), (middle, mine["end"], "", _PALE))
        marks += [_bars(mine, ends, shade, label, kind, pale, scale.factor)
                  for *ends, label, pale in parts]  # fmt: skip
    none = np.empty(0)
    marks.append(Bars(none, none, none, NEUTRAL, ATTACKED, opacity=_PALE))
    x = Axis(with_unit("time since the first trial began", scale.symbol))
    y = Axis(categories=found.rows, limits=(-0.6, len(found.rows) - 0.4))
    height = min(1.6 + 0.3 * len(found.rows), 12.0)
    return Chart([Panel(marks, x, y)], height=height, legend_columns=4)


def stages_chart(results: SearchResults) -> Chart:
    """Draw the seconds of all trials of a phase by stage, in the order of the stages."""
    seconds = stage_seconds(results.trials).fillna(0.0)
    order = [*STAGES, *(str(name) for name in seconds if name not in STAGES)]
    names = [name for name in reversed(order) if name in seconds and seconds[name].any()]
    if not names:
        return Chart(())
    totals = seconds[names].groupby(results.trials["phase"]).sum()
    totals = totals.loc[list(dict.fromkeys(results.trials["phase"]))]
    scale = scale_of("device_seconds", totals)
    thick = 0.8 / len(totals)
    marks: list[Mark] = []
    for index, (phase, row) in enumerate(totals.iterrows()):
        beside = thick * (index - (len(totals) - 1) / 2)
        places = np.array([place - beside for place in range(len(names))], dtype=np.float64)
        texts = [f"{STAGES.get(name, name)}, {phase}: {duration(row[name])}" for name in names]
        values = scale.factor * row.to_numpy(dtype=np.float64)
        look: Any = {"texts": texts, "hover": "%{text}<extra></extra>", "height": 0.9 * thick}
        marks.append(Bars(np.zeros(len(names)), values, places, colour(index), str(phase), **look))
    x = Axis(with_unit("time of all trials", scale.symbol))
    y = Axis(categories=[STAGES.get(name, name) for name in names])
    return Chart([Panel(marks, x, y)], height=1.4 + 0.3 * len(names))


def _rows(trials: pd.DataFrame) -> tuple[list[int], list[str]]:
    """The row of each trial, which come in the order of their beginnings, and the rows' names."""
    hosts = list(dict.fromkeys(str(host) for host in trials["host"]))
    free: dict[str, list[float]] = {host: [] for host in hosts}  # ends of the rows of each host
    placed: list[tuple[str, int]] = []
    for host, begin, end in zip(trials["host"], trials["started_at"], trials["end"], strict=True):
        ends = free[str(host)]
        row = next((i for i, until in enumerate(ends) if until <= begin), len(ends))
        ends[row:] = [end, *ends[row + 1 :]]
        placed.append((str(host), row))
    order = [(host, row) for host in hosts for row in range(len(free[host]))]
    numbers = {place: len(order) - 1 - i for i, place in enumerate(order)}  # the first one on top
    names = [f"{host or 'worker'} {row + 1}".strip() for host, row in reversed(order)]
    return [numbers[place] for place in placed], names


def _bars(
    mine: pd.DataFrame, ends: Any, shade: str, label: str, kind: str, opacity: float, factor: float
) -> Bars:
    begin, end = (factor * values.to_numpy(dtype=np.float64) for values in ends)
    look: Any = {"texts": list(mine["text"]), "keys": list(mine["key"])}
    rows = mine["row"].to_numpy(dtype=np.float64)
    hover = "%{text}<extra>" + kind + "</extra>"
    return Bars(begin, end, rows, shade, label, kind, opacity, 0.8, hover, **look)
