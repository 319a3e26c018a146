"""Adversarially robust deep hashing in PyTorch: codes, attacks, defenses, evaluation.

Implements Semantic-Aware Adversarial Training (Yuan et al., IEEE TIFS 2023, arXiv 2310.14637) and
the methods it is compared with. Nothing is imported here, so ``import saat`` costs nothing; take
what you need from the modules, for example ``saat.mainstay``, ``saat.retrieval``,
``saat.evaluation``.
"""

__version__ = "0.1.0"
