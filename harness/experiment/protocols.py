"""The protocols of an experiment: how its trials are measured."""

from harness.experiment.sections import EvaluationSection, ValidationSection
from saat.attacks import MainstayAttack
from saat.protocol import Protocol, named_attacks


def full_protocol(evaluation: EvaluationSection) -> Protocol:
    """The experiment's ``evaluation`` section as a protocol."""
    return Protocol(
        named_attacks(evaluation.attacks, evaluation.steps, evaluation.options),
        evaluation.eps,
        evaluation.top_k,
        evaluation.ties,
        evaluation.norm,
        evaluation.target_seed,
        precision=evaluation.precision,
    )


def validation_protocol(validation: ValidationSection, evaluation: EvaluationSection) -> Protocol:
    """The short attack after every epoch, ranked like the evaluation: all numbers mean the same.

    Its ball is L∞, whatever the norm of the evaluation: see :func:`reports.wording.norm_note`.
    """
    attack = MainstayAttack(steps=validation.steps, rescale=True, leaky=True)
    return Protocol(
        {"mainstay": attack},
        validation.eps,
        evaluation.top_k,
        evaluation.ties,
        precision=evaluation.precision,
    )
