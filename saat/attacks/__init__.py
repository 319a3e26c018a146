"""Attacks, one file each; registry.py lists them."""

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
from saat.attacks.interface import Attack, Knowledge, Queries, TrainingImages
from saat.attacks.mainstay import MainstayAttack, PgA, TargetedMainstayAttack
from saat.attacks.multi_target import MultiTarget
from saat.attacks.nag import NAG
from saat.attacks.p2p import DHTA, P2P
from saat.attacks.pgd_variants import BIM, DI, NI, SINI, VMI
from saat.attacks.prosgan import ProsGAN
from saat.attacks.pta import PTA
from saat.attacks.query_batches import attack_queries, frozen
from saat.attacks.rank_only import RankOnly
from saat.attacks.registry import ATTACKS
from saat.attacks.sdha import SDHA, TargetedSDHA
from saat.attacks.square import Square
from saat.attacks.ss_tuaa import SSTUAA
from saat.attacks.tha import THA
from saat.attacks.tta_gan import TTAGAN

__all__ = [
    "ATTACKS",
    "BIM",
    "DHTA",
    "DI",
    "HAG",
    "NAG",
    "NI",
    "P2P",
    "PTA",
    "SDHA",
    "SINI",
    "SSTUAA",
    "THA",
    "TTAGAN",
    "VMI",
    "AllPoints",
    "ApgdMainstay",
    "ApgdMargin",
    "ApgdSmoothAP",
    "Attack",
    "Knowledge",
    "MainstayAttack",
    "MaskedMainstay",
    "MultiTarget",
    "PgA",
    "ProsGAN",
    "Queries",
    "RankOnly",
    "Square",
    "TargetedApgdMainstay",
    "TargetedApgdMargin",
    "TargetedApgdSmoothAP",
    "TargetedMainstayAttack",
    "TargetedSDHA",
    "TrainingImages",
    "attack_queries",
    "frozen",
]
