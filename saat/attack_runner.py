"""Attacks on victims, each finished one kept on disk, so that a killed battery goes on."""

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from saat import tensor_file
from saat.adaptive import Adapted
from saat.atomic_files import replacing
from saat.attacks import Attack, Queries, TrainingImages, attack_queries, frozen
from saat.codes import pack_bits
from saat.models import codes_of, device_of, evaluating, to_float
from saat.seeding import derive_seed
from saat.threat_model import ThreatModel
from saat.victim import AttackResult, Victim

# Queries whose features tell two networks with equal codes apart.
COMPARED_QUERIES = 4


class _Attacked(NamedTuple):
    """What an attack made, and what the store keeps of it; see :meth:`Victim.measured`."""

    images: Tensor
    goal: Tensor
    target_labels: Tensor | None
    zero_gradient: float
    restart: Tensor


@dataclass(frozen=True)
class AttackRunner:
    """How attacks are run.

    Attributes:
        threat: the ball, unless a gate asks for another.
        seed: seed of the random starts.
        target_seed: seed of the target labels.
        batch_size: queries attacked together; never changes a result of a network without noise.
        store: folder of finished attacks, from which an attack that is run again with equal
            settings on an equal model is taken; none are kept where None.
        progress: called with (attack name, queries done, queries in all), all restarts together.
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
        self,
        victim: Victim,
        name: str,
        attack: Attack,
        threat: ThreatModel | None = None,
        restart: int = 0,
    ) -> AttackResult:
        """Fit an attack, run it on all queries, and measure what it leaves.

        A stored attack is only its images: codes and AP are computed from them again. Seeds of the
        random starts are made of the ``name``, every query's row, and the number of the restart, of
        which ``restart`` is the first. ``threat`` is another ball than the runner's.
        """
        ball = threat or self.threat
        if self.store is None:
            return victim.measured(*self._attacked(victim, name, attack, ball, restart))
        key = self._key(victim, name, attack, ball, restart)
        path = self.store / f"{_readable(name)}-{key}.safetensors"
        attacked = _read(path)
        if attacked is None:
            attacked = self._attacked(victim, name, attack, ball, restart)
            _write(path, attacked)
            attacked = _read(path) or attacked
        return victim.measured(*attacked)

    def placed(self, name: str, images: Tensor, changes: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
        """A copy of uint8 images with others at some positions; on disk where there is a store.

        ``changes`` are positions, int64 (n,), and images (n, 3, H, W). The file is that of
        ``name``; an earlier copy of that name stays what it was.
        """
        if self.store is None:
            out = images.clone()
            for positions, others in changes:
                out[positions] = others
            return out
        path = self.store / f"{_readable(name)}-joined.npy"
        with replacing(path) as temporary:
            shape = tuple(images.shape)
            array = np.lib.format.open_memmap(temporary, "w+", np.dtype(np.uint8), shape)
            array[:] = images.numpy()
            for positions, others in changes:
                array[positions.numpy()] = others.numpy()
            array.flush()
            del array
        # Copy-on-write, since no tensor may be read-only.
        return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))

    def _attacked(
        self, victim: Victim, name: str, attack: Attack, threat: ThreatModel, first: int
    ) -> _Attacked:
        for module in victim.network.modules():
            if isinstance(module, Adapted):
                module.restart()
        data, knowledge = victim.data, victim.knowledge
        device = knowledge.train_codes.device
        progress = partial(self.progress, name) if self.progress else None
        labels = victim.target_labels(self.target_seed) if attack.targeted else victim.labels
        train = TrainingImages(
            data.label_tensor(data.train),
            lambda rows: data.batch(data.train[rows.cpu().numpy()]),
            labels if attack.targeted else None,
        )
        with evaluating(victim.network), frozen(victim.network):
            seed = derive_seed("fit", name, self.seed)
            fitted = attack.fit(victim.network, train, knowledge, threat, seed, progress)
        benign = victim.query_codes.to(device)
        representatives = fitted.representatives(knowledge, labels.to(device), benign)

        def loss(images: Tensor) -> Tensor:
            ap = victim.ap(victim.codes(images), labels)
            return -ap if attack.targeted else ap

        def seeds(restart: int) -> Sequence[int]:
            # The first restart's seeds are those of an attack without restarts.
            number = first + restart
            more = (number,) if number else ()
            return [derive_seed("attack", name, self.seed, int(r), *more) for r in victim.rows]

        found = attack_queries(
            fitted,
            victim.network,
            Queries(
                victim.images, labels, victim.query_codes, representatives, seeds(0), victim.labels
            ),
            knowledge,
            threat,
            self.batch_size,
            progress,
            seeds,
            loss,
        )
        zero_gradient = 0.0
        for restart, fractions in enumerate(found.zero_gradient if len(victim.rows) else ()):
            zero_gradient = (restart * zero_gradient + float(fractions.mean())) / (restart + 1)
        return _Attacked(
            found.images,
            codes_of(fitted.goal(representatives)).cpu(),
            labels if attack.targeted else None,
            zero_gradient,
            found.restart,
        )

    def _key(
        self, victim: Victim, name: str, attack: Attack, threat: ThreatModel, first: int
    ) -> str:
        """A digest of everything that decides the images: 16 hex digits."""
        settings = (name, repr(attack), attack.version, repr(threat), self.seed, self.target_seed)
        ranking = (victim.data.fingerprint, victim.kind, victim.top_k, victim.ties)
        digest = hashlib.sha256(repr((settings, ranking)).encode())
        digest.update(str(first).encode() if first else b"")
        digest.update(victim.rows.tobytes())
        if victim.network not in self._weights:
            self._weights[victim.network] = _weights_digest(victim.network)
        digest.update(self._weights[victim.network].encode())
        # Weights alone would not tell apart two modules that differ in a plain Python attribute.
        for codes in (victim.knowledge.train_codes, victim.database_codes, victim.query_codes):
            digest.update(pack_bits(codes).tobytes())
        with torch.no_grad(), evaluating(victim.network):
            few = to_float(victim.images[:COMPARED_QUERIES], device_of(victim.network))
            digest.update(victim.network(few).float().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]


def _readable(name: str) -> str:
    """The name of an attack as a part of a file's."""
    return re.sub(r"[^\w.]", "_", name)


def _weights_digest(network: nn.Module) -> str:
    """SHA-256 (hex) of a network's structure and of everything in its state."""
    digest = hashlib.sha256(repr(network).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _write(path: Path, attacked: _Attacked) -> None:
    kept = attacked._asdict()
    meta = {"zero_gradient": kept.pop("zero_gradient")}
    tensor_file.save(path, {name: part for name, part in kept.items() if part is not None}, meta)


def _read(path: Path) -> _Attacked | None:
    """A stored attack; None where there is none, or none that can be read.

    Its images are on the disk until they are looked at, mapped copy-on-write: those of a whole
    battery on thousands of photographs would fill the memory.
    """
    try:
        tensors, meta = tensor_file.load(path)
    except (FileNotFoundError, tensor_file.CorruptFile):
        return None
    return _Attacked(**{"target_labels": None, **tensors, **meta})
