"""What an evaluation costs in forward passes of one image (F), counted without running it."""

from collections.abc import Mapping

from saat.adaptive import INSPECTED
from saat.attack_runner import COMPARED_QUERIES
from saat.attacks import Attack
from saat.attacks.interface import gradient_passes
from saat.attacks.query_batches import BATCH_GRAIN
from saat.battery import Battery, battery_forward_passes
from saat.models.network_check import IMAGES_TRIED
from saat.threat_model import ThreatModel
from saat.work import Work


def victim_work(train: int, database: int, queries: int) -> Work:
    """Encoding so many images of the three kinds, and the check of the network before it."""
    tried = min(IMAGES_TRIED, queries)
    # Twice as a batch, once from its middle on, once a single image.
    checked = 2 * tried + (tried - (tried + 1) // 2 + 1) + min(1, queries)
    return Work(encoding=train + database + queries + checked)


def attacks_work(
    attacks: Mapping[str, Attack], threat: ThreatModel, queries: int, stored: bool = False
) -> Work:
    """Attacks on so many queries, with the codes of what they made; ``fit`` is not counted.

    ``stored``: finished attacks are kept, under a key for which a few queries are encoded.
    """
    work = _traits_work(queries)
    key = min(COMPARED_QUERIES, queries) if stored else 0
    for attack in attacks.values():
        passes = padded(queries) * attack.forward_passes(threat)
        made = Work(attack=passes) if attack.by_gradient else Work(encoding=passes)
        work += made + Work(encoding=queries + key)
    return work


def battery_work(
    battery: Battery, threat: ThreatModel, queries: int, sources: int = 0, again: bool = False
) -> Work:
    """A battery on so many queries; :func:`saat.battery.battery_forward_passes` by kind.

    ``sources``: models whose images are tried; their own codes are not counted here. ``again``:
    attacks by gradients run a second time, past rectifiers that are off.
    """
    passes = battery_forward_passes(battery, padded(queries), threat, sources)
    square = passes.pop("square")
    twice = sum(passes[name] for name in battery.white_box) if again else 0.0
    looks = _traits_work(queries) * (1 + sources)
    return looks + Work(attack=sum(passes.values()) + twice, encoding=square)


def padded(queries: int) -> int:
    """Queries that pass the network in an attack, whose batches are padded."""
    return -(-queries // BATCH_GRAIN) * BATCH_GRAIN


def _traits_work(queries: int) -> Work:
    """What :func:`saat.adaptive.model_traits` asks of the network."""
    looked_at = min(INSPECTED, queries)
    return Work(encoding=2 * looked_at, attack=gradient_passes(looked_at))
