"""What is wrong with an experiment, where each of its sections alone is right."""

import re
from collections.abc import Iterator, Mapping

from harness.catalogue import catalogue
from harness.experiment.aims_section import file_key
from harness.experiment.config import ROLES, Experiment
from harness.experiment.search_section import weighed_metric
from harness.experiment.section import SHOWN
from saat.errors import did_you_mean, one_line

_TARGETED = "target_map"  # is measured by targeted attacks alone


def section_faults(experiment: Experiment) -> list[str]:
    """A line for every fault; none where the sections agree."""
    faults = [*_attack_faults(experiment), *_not_comparable(experiment)]
    faults += _not_preferable(experiment)
    if experiment.evaluation.precision == "tf32" and not experiment.resources.gpus:
        faults.append(
            "evaluation.precision: tf32: only GPUs have it, and resources.gpus_per_trial is 0; fp32"
        )
    return faults + [
        f"compare.{one_line(name, SHOWN)}: a name of up to 48 letters, digits, spaces and "
        f".+()=-, no space or dot at its end, other than {', '.join(ROLES)}"
        for name in experiment.compare
        if name in ROLES or not re.fullmatch(r"\w([\w .+()=-]{0,46}[\w+()=-])?", name)
    ]


def _attack_faults(experiment: Experiment) -> Iterator[str]:
    """No attack measures robust MAP, or t-MAP is asked for and no attack has a target."""
    known: dict[bool, list[str]] = {False: [], True: []}
    for name, entry in catalogue().attacks.items():
        if entry.facts:
            known[entry.facts.targeted].append(name)
    given = experiment.evaluation.attacks
    names, key = ", ".join(given), file_key(_TARGETED)
    if not set(given) & set(known[False]):
        untargeted = ", ".join(known[False])
        yield (
            f"evaluation.attacks: {names}: all targeted; robust MAP needs at least one of "
            f"{untargeted}"
        )
    for section in ("objectives", "constraints"):
        if key in getattr(experiment, section) and not set(given) & set(known[True]):
            yield (
                f"{section}.{key}: no attack of evaluation.attacks is targeted ({names}); "
                f"add one of {', '.join(known[True])}"
            )


def _not_comparable(experiment: Experiment) -> Iterator[str]:
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
    for word in given if isinstance(given, Mapping) else [given]:
        name = weighed_metric(word)
        if name and name not in measured:
            allowed = ", ".join(map(file_key, measured))
            yield f"search.scalarisation: {word}: trials are compared by {allowed}"


def _not_preferable(experiment: Experiment) -> Iterator[str]:
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
