"""Sanity checks of one evaluation's metrics: chance, equal codes, zero gradients.

They need no battery. ``metrics`` are always fractions by their names without a prefix, as
:meth:`saat.evaluation.Evaluation.metrics` returns them; what is missing is not judged. The search,
its report, the tracker and the command line all call these functions, so that a setting is never
at chance in one place and recommended in another.
"""

import math
from collections.abc import Mapping

from saat.thresholds import CHANCE_MARGIN, ZERO_GRADIENT_TOLERANCE

_MAPS = ("clean", "robust")
# Beginnings of the fractions of attacks that follow no gradient, which report 0.
_WITHOUT_GRADIENT = tuple(
    f"zero_grad.{attack}"
    for attack in (
        "noise", "square", "rank_only", "prosgan", "tta_gan", "all_points", "ss_tuaa", "transfer.",
    )
)  # fmt: skip
# Ends of the names of attacks through another backward pass than the network's own.
_STAND_INS = (".leaky", ".bpda")
_NAMED = 3  # models that one line names
# Chance of 0 or 1, up to rounding.
_NEVER, _ALWAYS = 1e-9, 1 - 1e-9


def at_chance(metrics: Mapping[str, float]) -> tuple[str, ...]:
    """Which of clean and robust MAP are not above that of a random order of the database.

    ``lift.clean`` and ``lift.robust`` are the lower ends of the 95 % bootstrap intervals over
    queries of AP minus the AP of a random order. A MAP is above chance if its lift is more than
    `CHANCE_MARGIN`. Without a lift, the difference of the two means decides. If the clean MAP is
    at chance, the network retrieves nothing and its robust MAP says nothing.
    """
    return tuple(name for name in _MAPS if _lift(metrics, name) <= CHANCE_MARGIN)


def _lift(metrics: Mapping[str, float], name: str) -> float:
    lift = metrics.get(f"lift.{name}", math.nan)
    if not math.isnan(lift):
        return lift
    return metrics.get(f"{name}_map", math.nan) - metrics.get("chance_map", math.nan)


def zero_gradients(metrics: Mapping[str, float], stand_ins: bool = True) -> float:
    """The smallest fraction of exactly zero input gradients of any attack by gradients, or 0.

    ``stand_ins``: whether attacks through leaky rectifiers or another stand-in count.
    """
    shares = [
        share
        for key, share in metrics.items()
        if key.startswith("zero_grad.")
        and not key.startswith(_WITHOUT_GRADIENT)
        and (stand_ins or not key.endswith(_STAND_INS))
        and not math.isnan(share)
    ]
    return min(shares, default=0.0)


def has_dead_gradients(metrics: Mapping[str, float]) -> bool:
    """Whether the network's own gradients hide parts of the images from attacks.

    Either too many of them are exactly zero under attack, or so many are on clean images that the
    battery attacked a second time, through leaky rectifiers.
    """
    leaky = any(
        key.startswith("map.") and key.endswith(".leaky") and not math.isnan(value)
        for key, value in metrics.items()
    )
    return leaky or zero_gradients(metrics, stand_ins=False) > ZERO_GRADIENT_TOLERANCE


def warnings_of(metrics: Mapping[str, float]) -> dict[str, str]:
    """What is wrong with one evaluation's numbers: phrase → the values behind it, maybe empty."""
    chance, codes = metrics.get("chance_map", math.nan), metrics.get("distinct_codes", math.nan)
    hidden = zero_gradients(metrics)
    found: dict[str, str] = {}
    if chance <= _NEVER:
        found["chance is 0 %: no query has a relevant item, so every MAP is 0 %"] = ""
    elif chance >= _ALWAYS:
        found["chance is 100 %: every item is relevant to every query, so every MAP is 100 %"] = ""
    else:
        at = at_chance(metrics)
        if "clean" in at:
            text = "clean MAP is not above chance, so nothing is retrieved and robust MAP is void"
            found[text] = _against(metrics, "clean")
        elif "robust" in at:
            found["robust MAP is not above chance"] = _against(metrics, "robust")
    if codes == 1:
        found["all images of the database have one code"] = ""
    if hidden > ZERO_GRADIENT_TOLERANCE:
        found["input gradients are exactly zero, so the attacks were blind"] = _percent(hidden)
    return found


def warning_lines(models: Mapping[str, Mapping[str, float]]) -> list[str]:
    """A line for every kind of warning, with the models it concerns; names may be empty."""
    by_phrase: dict[str, list[tuple[str, str]]] = {}
    for name, metrics in models.items():
        for phrase, values in warnings_of(metrics).items():
            by_phrase.setdefault(phrase, []).append((name, values))
    return [": ".join(filter(None, (phrase, _listed(of)))) for phrase, of in by_phrase.items()]


def _listed(found: list[tuple[str, str]]) -> str:
    named = [
        f"{name} ({values})" if name and values else name or values
        for name, values in found[:_NAMED]
    ]
    more = len(found) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _against(metrics: Mapping[str, float], name: str) -> str:
    return f"{_percent(metrics[f'{name}_map'])} where chance is {_percent(metrics['chance_map'])}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"
