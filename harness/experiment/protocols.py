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


def validation_top_k(top_k: int, part: int, rows: int) -> int:
    """The depth in ``part`` of a database's ``rows`` that is the same share of the ranking."""
    return max(1, round(top_k * part / rows)) if part < rows else top_k


def validation_protocol(
    validation: ValidationSection, evaluation: EvaluationSection, rows: int
) -> Protocol:
    """The short attack after an epoch, ranked like the evaluation: all numbers mean the same.

    ``rows`` are those of the database, of which a part is searched to the same share.
    Its ball is L∞, whatever the norm of the evaluation: see :func:`reports.wording.norm_note`.
    """
    attack = MainstayAttack(steps=validation.steps, rescale=True, leaky=True)
    top_k = validation_top_k(evaluation.top_k, validation.part_of(rows), rows)
    return Protocol(
        {"mainstay": attack},
        validation.eps,
        top_k,
        evaluation.ties,
        precision=evaluation.precision,
    )
