"""Adversarially robust deep hashing in PyTorch: data, training, attacks, defenses, evaluation.

Implements Semantic-Aware Adversarial Training (Yuan et al., IEEE TIFS 2023, arXiv 2310.14637) and
the methods it is compared with. ``dir(saat)`` lists what a user needs; it is imported when it is
first used, so ``import saat`` costs nothing. Attacks, defenses and hashing objectives are in
``saat.attacks``, ``saat.defenses`` and ``saat.hashing``.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from saat.attack_images import attack
    from saat.data import RetrievalData
    from saat.errors import InputError
    from saat.evaluation import Evaluation
    from saat.protocol import Protocol, evaluate
    from saat.retrieval import (
        average_precision,
        chance_average_precision,
        mean_average_precision,
        precision_at,
        precision_recall,
    )
    from saat.stages import train
    from saat.trained_model import load
    from saat.victim import AttackResult

__version__ = "0.1.0"

_MODULES = {
    "AttackResult": "victim",
    "Evaluation": "evaluation",
    "InputError": "errors",
    "Protocol": "protocol",
    "RetrievalData": "data",
    "attack": "attack_images",
    "average_precision": "retrieval",
    "chance_average_precision": "retrieval",
    "evaluate": "protocol",
    "load": "trained_model",
    "mean_average_precision": "retrieval",
    "precision_at": "retrieval",
    "precision_recall": "retrieval",
    "train": "stages",
}

__all__ = [
    "AttackResult",
    "Evaluation",
    "InputError",
    "Protocol",
    "RetrievalData",
    "attack",
    "average_precision",
    "chance_average_precision",
    "evaluate",
    "load",
    "mean_average_precision",
    "precision_at",
    "precision_recall",
    "train",
]


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


if not TYPE_CHECKING:  # a type checker would take any name for one of this package

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name not in _MODULES:
            raise AttributeError(f"module 'saat' has no attribute {name!r}")
        value = getattr(import_module(f"saat.{_MODULES[name]}"), name)
        globals()[name] = value
        return value
