"""The protocols of an experiment: how its trials are measured."""

from typing import Any

from harness.experiment.sections import EvaluationSection, ValidationSection
from saat.attacks import MainstayAttack
from saat.evaluation import Protocol, named_attacks


def full_protocol(section: dict[str, Any]) -> Protocol:
    """The experiment's ``evaluation`` section as a protocol."""
    checked = EvaluationSection.model_validate(section)
    return Protocol(
        named_attacks(checked.attacks, checked.steps, checked.options),
        checked.eps,
        checked.top_k,
        checked.ties,
        checked.norm,
        checked.target_seed,
    )


def validation_protocol(validation: dict[str, Any], evaluation: dict[str, Any]) -> Protocol:
    """The short attack after every epoch, ranked like the evaluation: all numbers mean the same."""
    short = ValidationSection.model_validate(validation)
    ranking = EvaluationSection.model_validate(evaluation)
    attack = MainstayAttack(steps=short.steps, rescale=True, leaky=True)
    return Protocol({"mainstay": attack}, short.eps, ranking.top_k, ranking.ties)
