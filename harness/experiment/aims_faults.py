"""What is wrong with the aims of an experiment, where each of them alone is right."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from harness.catalogue import catalogue
from harness.experiment.aims_section import file_key
from harness.experiment.search_section import weighed_metric
from saat.errors import did_you_mean

if TYPE_CHECKING:
    from harness.experiment.config import Experiment

_TARGETED = "target_map"  # is measured by targeted attacks alone


def attacks_of_kind(targeted: bool) -> list[str]:
    """The attacks that an ``evaluation`` can have, targeted or untargeted ones."""
    facts = {name: entry.facts for name, entry in catalogue().attacks.items()}
    return [name for name, fact in facts.items() if fact and fact.targeted == targeted]


def aims_faults(experiment: "Experiment") -> list[str]:
    """A line for every fault; none where objectives, constraints, search and evaluation agree."""
    return [
        *_without_targets(experiment),
        *_not_comparable(experiment),
        *_not_preferable(experiment),
    ]


def _without_targets(experiment: "Experiment") -> Iterator[str]:
    """t-MAP is asked for, and no attack has a target."""
    key, attacks, targeted = (
        file_key(_TARGETED),
        experiment.evaluation.attacks,
        attacks_of_kind(True),
    )
    if set(attacks) & set(targeted):
        return
    for section in ("objectives", "constraints"):
        if key in getattr(experiment, section):
            yield (
                f"{section}.{key}: no attack of evaluation.attacks is targeted "
                f"({', '.join(attacks)}); add one of {', '.join(targeted)}"
            )


def _not_comparable(experiment: "Experiment") -> Iterator[str]:
    """The scheduler asks for objectives that validation does not measure, or that are none."""
    search, aims = experiment.search, experiment.aims
    measured = [aims.names[i] for i in aims.validated]
    if search.scheduler != "none" and not measured:
        yield (
            f"search.scheduler: {search.scheduler}: compares trials after epochs, and validation "
            f"measures none of the objectives ({', '.join(experiment.objectives)}); none"
        )
        return
    given = search.scalarisation or {}
    weighed = given if isinstance(given, Mapping) else [given]
    for word in weighed:
        name = weighed_metric(word)
        if name and name not in measured:
            allowed = ", ".join(map(file_key, measured))
            yield f"search.scalarisation: {word}: trials are compared by {allowed}"


def _not_preferable(experiment: "Experiment") -> Iterator[str]:
    """``search.prefer`` names what is no objective, or mixes weights and bounds."""
    prefer, known = experiment.search.prefer, list(experiment.objectives)
    for key in prefer:
        if key not in known:
            hint = did_you_mean(key, known)
            yield f"search.prefer.{key}: one of the objectives {', '.join(known)}{hint}"
    weights = [value for value in prefer.values() if not isinstance(value, Mapping)]
    if weights and len(weights) < len(prefer):
        yield "search.prefer: weights of all keys, or bounds of all, not both"
    elif weights and not any(weights):
        yield "search.prefer: one of the weights is above 0"
