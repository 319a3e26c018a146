"""A dry run in words and as JSON."""

from itertools import groupby
from typing import Any

from rich.filesize import decimal

from harness.experiment.config import Experiment
from harness.session.calibration import Spread, spread_content
from harness.session.disk import spaces
from harness.session.dry_run import DryRun
from harness.session.sizes import SearchSize
from harness.session.trial_costs import CASES
from harness.session.wording import rounded, wrapped
from saat.wording import counted


def as_text(found: DryRun) -> str:
    """Lines for a person, of at most 80 columns."""
    lines = [f"{found.experiment.name}: a dry run; nothing is started, nothing written"]
    if found.size is not None:
        lines += _described(found.experiment, found.size)
    lines += ["", *_table(found), "", *_hours(found), *_disk(found), *found.notes]
    return wrapped(lines)


def _described(experiment: Experiment, size: SearchSize) -> list[str]:
    lines = ["space:"]
    for key, dimension in experiment.space.items():
        parts = dimension.dump()
        lines.append(f"  {key}: " + ", ".join(f"{name} {value}" for name, value in parts.items()))
    lines[-1] += "" if experiment.space else " nothing is searched"
    known = f", {size.known} known from earlier searches" if size.known else ""
    seeds = experiment.confirm.seeds
    lines += [
        f"explore: {counted(size.explored, 'trial')} ({size.defaults} of the paper's default, "
        f"{size.sampled} sampled){known}",
        f"confirm: about {counted(size.confirmed * seeds, 'trial')} "
        f"({counted(size.confirmed, 'setting')} under {counted(seeds, 'seed')})",
        f"pretrained models: at most {size.explore_pretrained} to explore and "
        f"{size.confirm_pretrained} to confirm",
    ]
    count = size.sampled
    for epoch, left in size.rungs:
        of_them = counted(count, "sampled trial")
        lines.append(f"rung at epoch {epoch}: of {of_them} about {left} will go on")
        count = left
    margin = experiment.search.margin
    if not size.rungs:
        lines.append("rungs: none; every trial runs to its end")
    elif margin:
        lines.append(f"more go on if they lie within {margin:g} MAP of the front of a rung")
    return lines


def _table(found: DryRun) -> list[str]:
    total, hours = sum(stage.passes() for stage in found.stages), found.total_hours()
    lines = [_row("", "how often", "million F", "device-hours", "share"), "-" * 74]
    for phase, stages in groupby(found.stages, lambda stage: stage.phase):
        lines.append(phase)
        for stage in stages:
            own, passes = found.hours(stage.costs["expected"]), stage.passes()
            share = passes / (total or 1)
            if own is not None and hours is not None and hours[1]:
                share = own[1] / hours[1]
            often = counted(round(stage.count), stage.unit)
            lines.append(
                _row(f"  {stage.name}", often, rounded(passes / 1e6), _median(own), f"{share:.0%}")
            )
    lines.append("-" * 74)
    lines.append(_row("total", "", rounded(total / 1e6), _median(hours), "100%"))
    return [
        *lines,
        "F: a forward pass of one image. An input gradient counts 2, a training step 3.",
    ]


def _median(hours: Spread | None) -> str:
    return "–" if hours is None else rounded(hours[1])


def _row(name: str, often: str, passes: str, hours: str, share: str) -> str:
    return f"{name:25}{often:>13}{passes:>13}{hours:>15}{share:>8}".rstrip()


def _hours(found: DryRun) -> list[str]:
    lines = []
    hours, wall = found.total_hours(), found.wall_hours
    if hours is not None:
        lines.append(
            f"About {_median(hours)} device-hours; {rounded(hours[0])} to {rounded(hours[2])} by "
            f"the spread of the measurement ({found.measured_s:.0f} s on "
            f"{found.calibration.device}, networks alone)."
        )
    if wall is not None:
        at_once = counted(found.at_once or 0, "trial")
        lines.append(f"By the clock about {rounded(wall)} hours with {at_once} at once here.")
    least, most = (sum(s.passes(case) for s in found.stages) for case in ("least", "most"))
    if least != most:
        bounds = f"Bounds: {rounded(least / 1e6)} to {rounded(most / 1e6)} million F"
        if hours is not None:
            low, high = (_median(found.total_hours(case)) for case in ("least", "most"))
            bounds += f", {low} to {high} device-hours"
        lines.append(f"{bounds}. {_why(found)}")
    return lines


def _why(found: DryRun) -> str:
    """What the bounds stand for."""
    parts = []
    if found.size is not None:
        stopping = bool(found.size.rungs)
        parts.append(
            "Lower: the cheapest settings are sampled, and none is worth confirming"
            f"{'; all stop at the first rung' * stopping}. "
            f"Upper: the dearest are sampled{'; none stops' * stopping}."
        )
    if any(stage.name.startswith("battery") for stage in found.stages):
        parts.append("A battery may leave attacks out, or attack twice past rectifiers.")
    return " ".join(parts)


def _disk(found: DryRun) -> list[str]:
    lines = ["", _disk_row("disk", "how many", "each", "in all"), "-" * 74]
    for item in found.disk:
        each, total = decimal(int(item.each)), decimal(int(item.bytes))
        lines.append(_disk_row(f"  {item.name}", f"{item.count:.0f}", each, total))
    lines.append("-" * 74)
    for space in spaces(found.disk):
        needed, free = decimal(int(space.needed)), decimal(space.free)
        verdict = "It fits" if space.needed <= space.free else "It does NOT fit"
        lines.append(f"{verdict}: about {needed} needed, {free} free below {space.folder}")
    return [*lines, ""] if found.notes else lines


def _disk_row(name: str, count: str, each: str, total: str) -> str:
    return f"{name:34}{count:>13}{each:>13}{total:>14}"


def as_json(found: DryRun) -> dict[str, Any]:
    """The same numbers for programs; bytes, hours and F."""
    size = found.size
    return {
        "experiment": found.experiment.name,
        "plan": found.plan,
        "device": found.calibration.device or None,
        "trials": None
        if size is None
        else {"explore": size.explored, "confirm": size.confirmed * found.experiment.confirm.seeds},
        "stages": [
            {
                "phase": stage.phase,
                "stage": stage.name,
                "count": stage.count,
                "unit": stage.unit,
                "forward_passes": {case: stage.passes(case) for case in CASES},
                "device_hours": spread_content(found.hours(stage.costs["expected"])),
            }
            for stage in found.stages
        ],
        "forward_passes": {case: sum(s.passes(case) for s in found.stages) for case in CASES},
        "device_hours": spread_content(found.total_hours()),
        "device_hours_least": spread_content(found.total_hours("least")),
        "device_hours_most": spread_content(found.total_hours("most")),
        "trials_at_once": found.at_once,
        "wall_hours": found.wall_hours,
        "disk": [
            {"what": item.name, "count": item.count, "bytes": item.bytes} for item in found.disk
        ],
        "space": [{**space._asdict(), "folder": str(space.folder)} for space in spaces(found.disk)],
        "notes": list(found.notes),
    }
