"""Mean average precision of an evaluation: clean, attacked, by chance and in theory."""

from typing import TYPE_CHECKING

from saat.metrics.interface import AIM, EVERY_PHASE, Unit, metric

if TYPE_CHECKING:
    from torch import Tensor

    from saat.evaluation import Evaluation


@metric("clean MAP", higher_is_better=True, phases=EVERY_PHASE, **AIM)
def clean_map(evaluation: "Evaluation") -> "Tensor":
    """MAP of the benign queries."""
    return evaluation.clean_ap.mean()


@metric("robust MAP", higher_is_better=True, phases=EVERY_PHASE, **AIM)
def robust_map(evaluation: "Evaluation") -> "Tensor":
    """Per query the minimum AP over clean image and untargeted attacks, then the mean."""
    return evaluation.worst_ap.mean()


@metric("chance MAP")
def chance_map(evaluation: "Evaluation") -> "Tensor":
    """MAP of a random order of the database."""
    return evaluation.chance_ap.mean()


@metric("floor MAP", from_images=False)
def floor_map(evaluation: "Evaluation") -> float | None:
    """The lowest theoretical MAP of the untargeted attacks."""
    floors = [float(theoretical_map.compute(evaluation, name)) for name in evaluation.untargeted]
    return min(floors, default=None)


@metric("worst t-MAP", higher_is_better=False, in_tables=False, **AIM)
def target_map(evaluation: "Evaluation") -> "Tensor | None":
    """Per query the maximum t-AP over clean image and targeted attacks, then the mean."""
    return evaluation.worst_target_ap.mean() if evaluation.targets else None


@metric("clean t-MAP", higher_is_better=False, in_tables=False)
def clean_target_map(evaluation: "Evaluation") -> "Tensor | None":
    """MAP of the benign queries for the target labels."""
    targets = list(evaluation.targets.values())
    return targets[-1].clean_ap.mean() if targets else None


@metric("clean lift", unit=Unit.DIFFERENCE, higher_is_better=True, in_tables=False)
def clean_lift(evaluation: "Evaluation") -> float:
    """Lower end of the 95 % interval over queries of clean AP minus chance."""
    return _lift(evaluation, evaluation.clean_ap)


@metric("robust lift", unit=Unit.DIFFERENCE, higher_is_better=True, in_tables=False)
def robust_lift(evaluation: "Evaluation") -> float:
    """Lower end of the 95 % interval over queries of worst-case AP minus chance."""
    return _lift(evaluation, evaluation.worst_ap)


def _lift(evaluation: "Evaluation", ap: "Tensor") -> float:
    from saat.bootstrap import bootstrap_interval

    return bootstrap_interval(ap - evaluation.chance_ap).low


@metric("distinct codes", unit=Unit.COUNT, in_tables=False)
def distinct_codes(evaluation: "Evaluation") -> int:
    """Codes that the database has, each counted once."""
    from saat.codes import distinct_codes

    return distinct_codes(evaluation.database_codes)


@metric("MAP", higher_is_better=True, per_attack=True)
def attacked_map(evaluation: "Evaluation", attack: str) -> "Tensor | None":
    """MAP under one untargeted attack, over the queries that it took."""
    result = evaluation.attacks[attack]
    return None if result.target else result.ap[evaluation.query_indices_of(attack)].mean()


@metric("t-MAP", higher_is_better=False, per_attack=True)
def attacked_target_map(evaluation: "Evaluation", attack: str) -> "Tensor | None":
    """MAP for the target labels under one targeted attack."""
    target = evaluation.attacks[attack].target
    return target.ap[evaluation.query_indices_of(attack)].mean() if target else None


@metric("theoretical MAP", per_attack=True, from_images=False)
def theoretical_map(evaluation: "Evaluation", attack: str) -> "Tensor":
    """MAP (t-MAP if targeted) of the code that the attack aims for."""
    result = evaluation.attacks[attack]
    theory = result.target.theory_ap if result.target else result.theory_ap
    return theory[evaluation.query_indices_of(attack)].mean()
