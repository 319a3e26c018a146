"""Attacks, one file each, and the registry that names them."""

from saat.attacks.all_points import AllPoints
from saat.attacks.apgd_attacks import (
    ApgdMainstay,
    ApgdMargin,
    ApgdSmoothAP,
    MaskedMainstay,
    TargetedApgdMainstay,
    TargetedApgdMargin,
    TargetedApgdSmoothAP,
)
from saat.attacks.hag import HAG
from saat.attacks.interface import Attack
from saat.attacks.mainstay import MainstayAttack, TargetedMainstayAttack
from saat.attacks.multi_target import MultiTarget
from saat.attacks.nag import NAG
from saat.attacks.p2p import DHTA, P2P
from saat.attacks.pga import PgA
from saat.attacks.pgd_variants import BIM, DI, NI, SINI, VMI
from saat.attacks.prosgan import ProsGAN
from saat.attacks.pta import PTA
from saat.attacks.rank_only import RankOnly
from saat.attacks.sdha import SDHA, TargetedSDHA
from saat.attacks.square import Square
from saat.attacks.ss_tuaa import SSTUAA
from saat.attacks.tha import THA
from saat.attacks.tta_gan import TTAGAN
from saat.registry import Registry, first_line, subclass_of


def describe(attack: type[Attack]) -> str:
    """One line for ``saat list attacks``."""
    return f"{'targeted' if attack.targeted else 'untargeted'}: {first_line(attack)}"


# name → class, called as ATTACKS[name](steps=…, step_size=…)
ATTACKS: Registry[type[Attack]] = Registry(
    "attack",
    "saat.attacks",
    {
        "mainstay": MainstayAttack,
        "mainstay_targeted": TargetedMainstayAttack,
        "pga": PgA,
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
        "tta_gan": TTAGAN,
        "all_points": AllPoints,
        "ss_tuaa": SSTUAA,
        "pta": PTA,
        "nag": NAG,
        "apgd_mainstay": ApgdMainstay,
        "apgd_mainstay_targeted": TargetedApgdMainstay,
        "apgd_margin": ApgdMargin,
        "apgd_margin_targeted": TargetedApgdMargin,
        "apgd_smoothap": ApgdSmoothAP,
        "apgd_smoothap_targeted": TargetedApgdSmoothAP,
        "masked_mainstay": MaskedMainstay,
        "multi_target": MultiTarget,
        "square": Square,
        "rank_only": RankOnly,
    },
    problem=subclass_of(Attack),
    describe=describe,
    # Beside attacks in the files of a trial, or endings of the arrays there.
    reserved="clean|worst|noise|rows|.*_(taken|target)",
)
