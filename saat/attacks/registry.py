"""The registry that names the attacks."""

from saat.attacks.interface import Attack
from saat.registry import Registry, first_line, subclass_of


def describe(attack: type[Attack]) -> str:
    """One line for ``saat list attacks``."""
    return f"{'targeted' if attack.targeted else 'untargeted'}: {first_line(attack)}"


# name → class, called as ATTACKS[name](steps=…, step_size=…)
ATTACKS: Registry[type[Attack]] = Registry(
    "attack",
    "saat.attacks",
    {
        "mainstay": "saat.attacks.mainstay:MainstayAttack",
        "mainstay_targeted": "saat.attacks.mainstay:TargetedMainstayAttack",
        "pga": "saat.attacks.mainstay:PgA",
        "hag": "saat.attacks.hag:HAG",
        "bim": "saat.attacks.pgd_variants:BIM",
        "di": "saat.attacks.pgd_variants:DI",
        "ni": "saat.attacks.pgd_variants:NI",
        "si_ni": "saat.attacks.pgd_variants:SINI",
        "vmi": "saat.attacks.pgd_variants:VMI",
        "sdha": "saat.attacks.sdha:SDHA",
        "sdha_targeted": "saat.attacks.sdha:TargetedSDHA",
        "p2p": "saat.attacks.p2p:P2P",
        "dhta": "saat.attacks.p2p:DHTA",
        "tha": "saat.attacks.tha:THA",
        "prosgan": "saat.attacks.prosgan:ProsGAN",
        "tta_gan": "saat.attacks.tta_gan:TTAGAN",
        "all_points": "saat.attacks.all_points:AllPoints",
        "ss_tuaa": "saat.attacks.ss_tuaa:SSTUAA",
        "pta": "saat.attacks.pta:PTA",
        "nag": "saat.attacks.nag:NAG",
        "apgd_mainstay": "saat.attacks.apgd_attacks:ApgdMainstay",
        "apgd_mainstay_targeted": "saat.attacks.apgd_attacks:TargetedApgdMainstay",
        "apgd_margin": "saat.attacks.apgd_attacks:ApgdMargin",
        "apgd_margin_targeted": "saat.attacks.apgd_attacks:TargetedApgdMargin",
        "apgd_smoothap": "saat.attacks.apgd_attacks:ApgdSmoothAP",
        "apgd_smoothap_targeted": "saat.attacks.apgd_attacks:TargetedApgdSmoothAP",
        "masked_mainstay": "saat.attacks.apgd_attacks:MaskedMainstay",
        "multi_target": "saat.attacks.multi_target:MultiTarget",
        "square": "saat.attacks.square:Square",
        "rank_only": "saat.attacks.rank_only:RankOnly",
    },
    problem=subclass_of(Attack),
    describe=describe,
    # Beside attacks in the files of a trial, or endings of the arrays there.
    reserved="clean|worst|noise|rows|.*_(taken|target)",
)
