"""Versions of the formulas that a protocol runs.

Attacks, batteries, gates and metrics carry a version, which is raised when their numbers change.
Numbers of different versions are not compared: the versions are a part of a protocol's identity.
"""

from collections.abc import Iterable, Mapping

from saat.attacks import ATTACKS
from saat.battery import BATTERIES
from saat.metrics import METRICS
from saat.reliability import GATES

# What metrics and targeted attacks are computed from.
FORMULA_VERSIONS: Mapping[str, int] = {
    "average_precision": 1,
    "chance": 1,
    "lift": 1,
    "target_labels": 1,
    "perceptibility": 1,
}


def protocol_versions(attacks: Iterable[str], battery: str) -> dict[str, int]:
    """Versions of everything that a protocol runs, by name.

    Attacks have their own names, others are ``battery.NAME``, ``gate.NAME``, ``metric.NAME`` and
    ``formula.NAME``. The battery may be ``none``.
    """
    found = {f"formula.{name}": version for name, version in FORMULA_VERSIONS.items()}
    found |= {f"metric.{name}": metric.version for name, metric in METRICS.items()}
    found |= {name: ATTACKS[name].version for name in attacks}
    if battery == "none":
        return found
    entry = BATTERIES[battery]
    run = {**entry.white_box, "square": entry.square, "noise": entry.noise}
    found |= {name: attack.version for name, attack in run.items()}
    found |= {f"gate.{name}": GATES[name].version for name in entry.gates}
    return found | {f"battery.{battery}": entry.version}
