"""Attack images of one's own, not those of a split."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from saat.adaptive import model_traits, runnable
from saat.attack_runner import AttackRunner
from saat.attacks import ATTACKS, Attack
from saat.data import RetrievalData
from saat.data.tensors import Array, image_bytes, label_bytes
from saat.errors import InputError, check_known
from saat.models import device_of
from saat.precision import computing
from saat.protocol_options import Norm
from saat.settings import check_settings
from saat.threat_model import ThreatModel
from saat.victim import AttackResult, Victim, check_model_and_data
from saat.wording import counted


def attack(
    attack: str | Attack,
    model: nn.Module,
    images: Array,
    labels: Array,
    data: RetrievalData,
    eps: float = 8 / 255,
    norm: Norm = "linf",
    *,
    steps: int | None = None,
    restarts: int | None = None,
    seed: int = 0,
    target_seed: int = 0,
    top_k: int | None = None,
    batch_size: int = 128,
    progress: Callable[[int, int], None] | None = None,
) -> AttackResult:
    """Adversarial images of the given ones, and how well they retrieve.

    Training images and database of ``data`` are encoded in every call, so pass all images at once.

    >>> import saat, torch
    >>> data = saat.RetrievalData.named("digits_mini", image_size=16)
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 8))
    >>> images, labels = data.batch(data.test[:4]), data.label_tensor(data.test[:4])
    >>> result = saat.attack("hag", model, images, labels, data, eps=4 / 255, steps=5)
    >>> result.images.dtype, tuple(result.images.shape), tuple(result.codes.shape)
    (torch.uint8, (4, 3, 16, 16), (4, 8))

    Args:
        attack: a name in :data:`saat.attacks.ATTACKS`, or an attack with options of its own.
        model: float images in [0, 1] (B, 3, H, W) → pre-tanh features (B, K).
        images: (Q, 3, H, W), uint8 or float in [0, 1], on any device; floats are rounded to bytes.
        labels: 0/1 (Q, C).
        data: its training images and database are what the attacker knows.
        eps: radius of the ball, in its norm; values of pixels lie in [0, 1].
        norm: of the ball: ``linf``, ``l2`` or ``l1``.
        steps: iterations; the attack's own number where None.
        restarts: runs of which the worst counts per query; the attack's own number where None.
        seed: seed of the random starts.
        target_seed: seed of the target labels of a targeted attack.
        top_k: depth of the ranking; the whole database where None.
        batch_size: queries attacked together; never changes a result.
        progress: called with (queries done, queries in all), all restarts together.

    Returns:
        Adversarial images (uint8) and codes (int8 ±1) on the CPU, AP per query, and more.

    Raises:
        InputError: an unknown attack, an option out of range, images or labels that do not fit,
            a model that cannot be measured or on which the attack cannot be run.
    """
    check_model_and_data(model, data)
    name, chosen = _chosen(attack)
    options = {"steps": steps, "restarts": restarts}
    chosen = replace(chosen, **{key: n for key, n in options.items() if n is not None})
    check_settings(chosen, name)
    threat = ThreatModel(eps, norm)
    threat.check()
    queries = image_bytes("images", images), label_bytes("labels", labels)
    if len(queries[0]) != len(queries[1]):
        raise InputError(f"labels: {counted(len(queries[1]), 'row')}; images has {len(queries[0])}")
    if queries[1].shape[1] != data.classes:
        raise InputError(f"labels: {queries[1].shape[1]} classes; data has {data.classes}")
    own = torch.from_numpy(queries[0]), torch.from_numpy(queries[1])
    on_query = None if progress is None else lambda _, done, count: progress(done, count)
    runner = AttackRunner(threat, seed, target_seed, batch_size, progress=on_query)
    with computing("fp32", device_of(model), benchmark=False):  # as saat.evaluate by default
        victim = Victim(model, data, own, top_k)
        runnable({name: chosen}, model_traits(model, victim.images), battery=False)
        return runner.attack(victim, name, chosen)


def _chosen(attack: object) -> tuple[str, Attack]:
    """The name that enters the seeds, and the attack."""
    if isinstance(attack, str):
        check_known("attack", attack, ATTACKS)
        return attack, ATTACKS[attack]()
    if not isinstance(attack, Attack):
        given = attack.__name__ if isinstance(attack, type) else type(attack).__name__
        raise InputError(f"attack: {given}; the name of an attack, or one such as HAG(steps=20)")
    names = (name for name, kind in ATTACKS.items() if kind is type(attack))
    return next(names, type(attack).__name__), attack
