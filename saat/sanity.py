"""What the numbers of one evaluation say against themselves, without any gate of a battery.

Pure functions of the metrics that :meth:`saat.evaluate.Evaluation.metrics` returns. The search,
its report, the tracker and the command line all ask here, so that one setting is never at chance
in one place and recommended in another.
"""

import math
from collections.abc import Iterable, Mapping

# MAP above that of a random order, beyond the bootstrap's interval over queries.
MARGIN = 0.01
# Exactly zero input gradients, as a fraction, under the attack that sees fewest.
ZERO_TOLERANCE = 0.1

_MAPS = ("clean", "robust")
# Attacks that follow no gradient of the network and report a fraction of 0.
_WITHOUT_GRADIENT = ("noise", "square", "prosgan", "transfer.")
# Attacks through another backward pass than the network's own.
_STAND_INS = (".leaky", ".bpda")
_NAMED = 3  # models in one line
_NEVER, _ALWAYS = 1e-9, 1 - 1e-9


def at_chance(metrics: Mapping[str, float]) -> tuple[str, ...]:
    """Which of clean and robust MAP are not above that of a random order of the database.

    A MAP is above chance if the lower end of the 95 % bootstrap interval over queries of AP minus
    the AP of a random order is more than `MARGIN`: ``lift.clean`` and ``lift.robust``. Metrics
    without them are judged by the difference of the two means.

    Args:
        metrics: fractions, by their names without a prefix; what is missing is not judged.

    Returns:
        ``("clean", "robust")`` at most. A network whose clean MAP is at chance retrieves nothing,
        so its robust MAP says nothing; where the robust MAP alone is, nothing useful is left
        under attack.
    """
    return tuple(name for name in _MAPS if _lift(metrics, name) <= MARGIN)


def _lift(metrics: Mapping[str, float], name: str) -> float:
    lift = metrics.get(f"lift.{name}", math.nan)
    if not math.isnan(lift):
        return lift
    return metrics.get(f"{name}_map", math.nan) - metrics.get("chance_map", math.nan)


def zero_gradients(metrics: Mapping[str, float], stand_ins: bool = True) -> float:
    """Fraction of exactly zero input gradients, to the attack by gradients that sees fewest.

    Args:
        metrics: fractions, by their names without a prefix.
        stand_ins: whether attacks through leaky rectifiers or another stand-in count.

    Returns:
        The fraction; 0 where no attack by gradients was run.
    """
    names = {key.removeprefix("zero_grad."): key for key in metrics if key.startswith("zero_grad.")}
    shares = [
        metrics[key]
        for attack, key in names.items()
        if not attack.startswith(_WITHOUT_GRADIENT)
        and (stand_ins or not attack.endswith(_STAND_INS))
    ]
    return min((share for share in shares if not math.isnan(share)), default=0.0)


def has_dead_gradients(metrics: Mapping[str, float]) -> bool:
    """Whether gradients of the network itself hide parts of the images from an attack.

    Either too many of them are exactly zero, or the battery found enough on clean images to attack
    a second time through leaky rectifiers.
    """
    leaky = any(
        key.startswith("map.") and key.endswith(".leaky") and not math.isnan(value)
        for key, value in metrics.items()
    )
    return leaky or zero_gradients(metrics, stand_ins=False) > ZERO_TOLERANCE


def objections(metrics: Mapping[str, float]) -> dict[str, str]:
    """What is wrong with the numbers: a phrase each, with the values it rests on.

    Args:
        metrics: fractions, by their names without a prefix; what is missing is not judged.
    """
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
    if hidden > ZERO_TOLERANCE:
        found["input gradients are exactly zero, so the attacks were blind"] = _percent(hidden)
    return found


def objection_lines(models: Mapping[str, Mapping[str, float]]) -> list[str]:
    """A line for every kind of objection, with the models it concerns.

    Args:
        models: name, which may be empty → metrics of its evaluation, without a prefix.
    """
    by_phrase: dict[str, list[tuple[str, str]]] = {}
    for name, metrics in models.items():
        for phrase, values in objections(metrics).items():
            by_phrase.setdefault(phrase, []).append((name, values))
    return [": ".join(filter(None, (phrase, _listed(of)))) for phrase, of in by_phrase.items()]


def _listed(found: list[tuple[str, str]]) -> str:
    named = [
        f"{name} ({values})" if name and values else name or values
        for name, values in found[:_NAMED]
    ]
    more = len(found) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def without_prefix(metrics: Mapping[str, float], prefixes: Iterable[str]) -> dict[str, float]:
    """The metrics under the first of the prefixes that has any, by their names without it."""
    for prefix in prefixes:
        found = {
            key.removeprefix(prefix): value
            for key, value in metrics.items()
            if key.startswith(prefix)
        }
        if found:
            return found
    return {}


def _against(metrics: Mapping[str, float], name: str) -> str:
    return f"{_percent(metrics[f'{name}_map'])} where chance is {_percent(metrics['chance_map'])}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"
