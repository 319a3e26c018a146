"""Attacks, one file each, and the registry that names them."""

from collections.abc import Mapping

from saat.attacks.anchors import DHTA, P2P
from saat.attacks.apgd_attacks import (
    ApgdMainstay,
    ApgdMargin,
    ApgdSmoothAP,
    MaskedMainstay,
    TargetedApgdMainstay,
    TargetedApgdMargin,
)
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
from saat.attacks.multi_target import MultiTarget
from saat.attacks.pgd_variants import BIM, DI, NI, SINI, VMI
from saat.attacks.prosgan import ProsGAN
from saat.attacks.sdha import SDHA, TargetedSDHA
from saat.attacks.square import Square
from saat.attacks.tha import THA

# name → class, called as ATTACKS[name](steps=…, step_size=…)
ATTACKS: Mapping[str, type[Attack]] = {
    "mainstay": MainstayAttack,
    "mainstay_targeted": TargetedMainstayAttack,
    "hag": HAG,
    "bim": BIM,
    "di": DI,
    "ni": NI,
    "si_ni": SINI,
    "vmi": VMI,
    "sdha": SDHA,
    "sdha_targeted": TargetedSDHA,
    "p2p": P2P,
    "dhta": DHTA,
    "tha": THA,
    "prosgan": ProsGAN,
    "apgd_mainstay": ApgdMainstay,
    "apgd_mainstay_targeted": TargetedApgdMainstay,
    "apgd_margin": ApgdMargin,
    "apgd_margin_targeted": TargetedApgdMargin,
    "apgd_smoothap": ApgdSmoothAP,
    "masked_mainstay": MaskedMainstay,
    "multi_target": MultiTarget,
    "square": Square,
}

__all__ = [
    "ATTACKS",
    "BIM",
    "DHTA",
    "DI",
    "HAG",
    "NI",
    "P2P",
    "SDHA",
    "SINI",
    "THA",
    "VMI",
    "ApgdMainstay",
    "ApgdMargin",
    "ApgdSmoothAP",
    "Attack",
    "Knowledge",
    "MainstayAttack",
    "MaskedMainstay",
    "MultiTarget",
    "ProsGAN",
    "Queries",
    "Square",
    "TargetedApgdMainstay",
    "TargetedApgdMargin",
    "TargetedMainstayAttack",
    "TargetedSDHA",
    "TrainingImages",
    "attack_queries",
    "frozen",
]
