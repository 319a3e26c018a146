"""A dry run of tables and figures, in words and as JSON."""

from typing import Any

from harness.reproduce.costs import Cost, DryRun
from harness.session.calibration import spread_content
from harness.session.wording import rounded, wrapped

_WIDTH = 80


def as_text(found: DryRun) -> str:
    """Lines for a person, of at most 80 columns but for names."""
    lines = ["a dry run; nothing is started, nothing written", ""]
    lines += [_header("run"), "-" * _WIDTH]
    for name, (state, cost) in found.runs.items():
        shown = name if state == "absent" else f"{name} ({state})"
        lines.append(_row(shown, cost, found))
    lines += ["-" * _WIDTH, _row("together", found.total, found), ""]
    lines += [_header("alone"), "-" * _WIDTH]
    lines += [_row(name, cost, found) for name, cost in found.items.items()]
    lines += ["", "F: a forward pass of one image. An input gradient counts 2, a training step 3."]
    hours = found.total.hours(found.calibration.rates)
    if hours is not None:
        lines.append(
            f"About {_time(hours[1])} of one device, {_time(hours[0])} to {_time(hours[2])} by the "
            f"spread of the measurement ({found.calibration.device}, networks alone)."
        )
    return wrapped([*lines, *found.notes])


def _header(first: str) -> str:
    return f"{first:34}{'pretrained':>10}{'trained':>8}{'attacks':>8}{'million F':>10}{'time':>10}"


def _row(name: str, cost: Cost, found: DryRun) -> str:
    hours = cost.hours(found.calibration.rates)
    time = "–" if hours is None else _time(hours[1])
    return (
        f"{name:34}{cost.pretrained:>10}{cost.trained:>8}{cost.attacks:>8}"
        f"{rounded(cost.passes / 1e6):>10}{time:>10}"
    )


def _time(hours: float) -> str:
    return f"{rounded(hours)} h" if hours >= 1 else f"{rounded(60 * hours)} min"


def as_json(found: DryRun) -> dict[str, Any]:
    """The same numbers for programs."""
    return {
        "device": found.calibration.device or None,
        "runs": {
            name: {"state": state, **_cost(cost, found)}
            for name, (state, cost) in found.runs.items()
        },
        "together": _cost(found.total, found),
        "alone": {name: _cost(cost, found) for name, cost in found.items.items()},
        "notes": list(found.notes),
    }


def _cost(cost: Cost, found: DryRun) -> dict[str, Any]:
    return {
        "pretrained": cost.pretrained,
        "trained": cost.trained,
        "attacks": cost.attacks,
        "forward_passes": cost.passes,
        "device_hours": spread_content(cost.hours(found.calibration.rates)),
    }
