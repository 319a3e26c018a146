"""Attacks, one file each, and the registry that names them."""

from collections.abc import Mapping

from saat.attacks.attack import (
    Attack,
    Knowledge,
    Queries,
    TrainingImages,
    attack_queries,
    frozen,
)
from saat.attacks.hag import HAG
from saat.attacks.mainstay import MainstayAttack, TargetedMainstayAttack

# name → class, called as ATTACKS[name](steps=…, step_size=…)
ATTACKS: Mapping[str, type[Attack]] = {
    "mainstay": MainstayAttack,
    "mainstay_targeted": TargetedMainstayAttack,
    "hag": HAG,
}

__all__ = [
    "ATTACKS",
    "HAG",
    "Attack",
    "Knowledge",
    "MainstayAttack",
    "Queries",
    "TargetedMainstayAttack",
    "TrainingImages",
    "attack_queries",
    "frozen",
]
