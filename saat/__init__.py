"""Adversarially robust deep hashing in PyTorch: data, training, attacks, defenses, evaluation.

Implements Semantic-Aware Adversarial Training (Yuan et al., IEEE TIFS 2023, arXiv 2310.14637) and
the methods it is compared with. ``dir(saat)`` lists what a user needs; it is imported when it is
first used, so ``import saat`` costs nothing. Attacks, defenses and hashing objectives are in
``saat.attacks``, ``saat.defenses`` and ``saat.hashing``.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from saat.attack_images import attack as attack
    from saat.data import RetrievalData as RetrievalData
    from saat.errors import InputError as InputError
    from saat.evaluation import Evaluation as Evaluation
    from saat.protocol import Protocol as Protocol
    from saat.protocol import evaluate as evaluate
    from saat.retrieval import average_precision as average_precision
    from saat.retrieval import chance_average_precision as chance_average_precision
    from saat.retrieval import mean_average_precision as mean_average_precision
    from saat.retrieval import precision_at as precision_at
    from saat.retrieval import precision_recall as precision_recall
    from saat.stages import train as train
    from saat.trained_model import load as load
    from saat.victim import AttackResult as AttackResult

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

__all__ = list(_MODULES)


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
