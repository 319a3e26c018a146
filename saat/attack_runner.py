"""Attacks on victims, each finished one kept on disk, so that a killed battery goes on."""

import hashlib
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from saat.adaptive import Adapted
from saat.atomic_files import replacing
from saat.attacks import Attack
from saat.codes import pack_bits
from saat.models import device_of, evaluating, to_float
from saat.perceptibility import perceptibility
from saat.threat_model import ThreatModel
from saat.victim import AttackResult, Target, Victim

# Queries whose features tell two networks with equal codes apart.
_COMPARED_QUERIES = 4


@dataclass(frozen=True)
class AttackRunner:
    """How attacks are run.

    Attributes:
        threat: the ball, unless a gate asks for another.
        seed: seed of the random starts.
        target_seed: seed of the target labels.
        batch_size: queries attacked together.
        store: folder of finished attacks; none are kept where None.
        progress: called with (attack name, queries done, queries in all).
    """

    threat: ThreatModel
    seed: int = 0
    target_seed: int = 0
    batch_size: int = 128
    store: Path | None = None
    progress: Callable[[str, int, int], None] | None = None
    # Weights are read once a network and runner, not once an attack.
    _weights: WeakKeyDictionary[nn.Module, str] = field(
        default_factory=WeakKeyDictionary, init=False, repr=False, compare=False
    )

    def attack(
        self, victim: Victim, name: str, attack: Attack, threat: ThreatModel | None = None
    ) -> AttackResult:
        """:meth:`Victim.attack`, or what the store has of it.

        A stored attack is only its images: codes and AP are computed from them again.
        """
        ball = threat or self.threat
        path = None
        if self.store:
            readable = re.sub(r"[^\w.]", "_", name)
            path = self.store / f"{readable}-{self._key(victim, name, attack, ball)}.npz"
            kept = _read(path, victim, attack)
            if kept:
                return kept
        for module in victim.network.modules():
            if isinstance(module, Adapted):
                module.restart()
        result = victim.attack(
            name,
            attack,
            ball,
            self.seed,
            self.target_seed,
            self.batch_size,
            partial(self.progress, name) if self.progress else None,
        )
        if path:
            _write(path, result)
            result = replace(result, images=_mapped(path))
        return result

    def _key(self, victim: Victim, name: str, attack: Attack, threat: ThreatModel) -> str:
        """Of everything that decides the images: 16 hex digits."""
        settings = (name, repr(attack), attack.version, repr(threat), self.seed, self.target_seed)
        ranking = (victim.data.fingerprint, victim.kind, victim.top_k, victim.ties)
        digest = hashlib.sha256(repr((settings, ranking)).encode())
        digest.update(victim.rows.tobytes())
        if victim.network not in self._weights:
            self._weights[victim.network] = weights_digest(victim.network)
        digest.update(self._weights[victim.network].encode())
        # Weights alone would not tell apart two modules that differ in a plain Python attribute.
        for codes in (victim.knowledge.train_codes, victim.database_codes, victim.query_codes):
            digest.update(pack_bits(codes).tobytes())
        digest.update(
            _features(victim.network, victim.images[:_COMPARED_QUERIES]).numpy().tobytes()
        )
        return digest.hexdigest()[:16]


def weights_digest(network: nn.Module) -> str:
    """SHA-256 (hex) of a network's structure and of everything in its state."""
    digest = hashlib.sha256(repr(network).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


@torch.no_grad()
def _features(network: nn.Module, images: Tensor) -> Tensor:
    with evaluating(network):
        features: Tensor = network(to_float(images, device_of(network)))
    return features.detach().float().cpu()


def _write(path: Path, result: AttackResult) -> None:
    """Store an attack: its images first, then ``path``, which says that it is whole."""
    arrays: dict[str, Any] = {
        "ap": result.ap.numpy(),
        "theory_ap": result.theory_ap.numpy(),
        "restart": result.restart.numpy(),
        "zero_gradient": np.float64(result.zero_gradient),
        "images_crc32": np.int64(_crc32(result.images.numpy())),
    }
    if result.target is not None:
        arrays["target_labels"] = result.target.labels.numpy()
        arrays["target_theory_ap"] = result.target.theory_ap.numpy()
    with replacing(_images_of(path)) as temporary, temporary.open("wb") as file:
        np.save(file, result.images.numpy())
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def _images_of(path: Path) -> Path:
    return path.with_suffix(".npy")


def _mapped(path: Path) -> Tensor:
    """The images of a stored attack, uint8 (Q, 3, H, W), on the disk until they are looked at.

    Those of a whole battery on thousands of photographs would fill the memory. They are mapped
    copy-on-write, since no tensor may be read-only.
    """
    return torch.from_numpy(np.load(_images_of(path), mmap_mode="c", allow_pickle=False))


def _crc32(images: np.ndarray) -> int:
    """A checksum that is read image by image, for arrays larger than the memory."""
    return reduce(lambda crc, image: zlib.crc32(image.tobytes(), crc), images, 0)


def _read(path: Path, victim: Victim, attack: Attack) -> AttackResult | None:
    """A stored attack; None where there is none, or none that can be read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: torch.from_numpy(file[name]) for name in file.files}
        images = _mapped(path)
        if _crc32(images.numpy()) != int(arrays["images_crc32"]):
            return None
        result = measured(victim, images, arrays["theory_ap"])
        target = None
        if attack.targeted:
            labels = arrays["target_labels"]
            target = Target(
                labels,
                victim.ap(result.codes, labels),
                arrays["target_theory_ap"],
                victim.ap(victim.query_codes, labels),
            )
        return replace(
            result,
            zero_gradient=float(arrays["zero_gradient"]),
            restart=arrays["restart"],
            target=target,
        )
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile):
        return None


def measured(victim: Victim, images: Tensor, theory_ap: Tensor) -> AttackResult:
    """What attacked uint8 images (Q, 3, H, W) from anywhere do to a victim."""
    codes = victim.codes(images)
    return AttackResult(
        ap=victim.ap(codes),
        theory_ap=theory_ap,
        images=images,
        codes=codes,
        zero_gradient=0.0,
        restart=torch.zeros(len(images), dtype=torch.int64),
        perceptibility=perceptibility(victim.images, images),
    )
