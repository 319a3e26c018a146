"""The training loop shared by pretraining and adversarial training.

Every epoch derives its seeds from (seed, stage, epoch) and the learning rate is a function of the
iteration, so a state restored from a checkpoint continues to the same bits as one that was never
interrupted, without stored generator or scheduler states.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from saat import tensor_file
from saat.data import RetrievalData
from saat.errors import InputError
from saat.hashing import HashingObjective
from saat.memory import free_bytes
from saat.metrics import Phase
from saat.micro_batches import Outputs, changed_by_splitting, has_batch_norm, in_parts
from saat.models import HashingNetwork, device_of, encode, to_float
from saat.optimiser_settings import OptimiserSettings
from saat.reading import batches_for
from saat.seeding import generator, seed_torch
from saat.stopwatch import Stage, stage

# A training set that takes less than this share of free GPU memory lives there as bytes.
_RESIDENT_SHARE = 0.25


class TrainingFailed(Exception):
    """Training cannot go on: a loss that is not finite, or no memory. The message says where."""


def split_into_batches(order: Tensor, batch_size: int) -> list[Tensor]:
    """Rows (N,) in batches of ``batch_size``, the last one shorter.

    A last batch of one row joins the batch before it: batch norm has no statistics of one row.
    """
    batches = list(order.split(batch_size))
    if batch_size > 1 and len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


class Training(ABC):
    """Epochs over the training set.

    The network is trained in place, and so are the parameters of the objective, if it has any.
    ``seed`` is that of order and dropout.

    Attributes:
        stage: its name, in checkpoints, seeds and messages.
        train_labels: float 0/1 (N, C), on the network's device.
        work: what its epochs count as for a stopwatch.
        optimiser: of the parameters of all :meth:`modules`.
        resident: uint8 (N, 3, H, W), the training images on a GPU; None where they are read.
        physical_batch: see :meth:`split_batches`; None for whole batches.
        has_graphs: whether there is something that CUDA graphs can replay.
        graphs: whether they are replayed; off at first.
    """

    stage: str
    work: ClassVar[Stage] = Stage.OUTER_STEP
    has_graphs: ClassVar[bool] = False
    graphs = False

    def __init__(
        self,
        network: HashingNetwork,
        objective: HashingObjective,
        data: RetrievalData,
        settings: OptimiserSettings,
        seed: int,
    ) -> None:
        self.network, self.objective = network, objective
        self.settings, self.seed, self.epoch = settings, seed, 0
        self.physical_batch: int | None = None
        self._data = data
        self._device = device_of(network)
        self.train_labels = data.label_tensor(data.train).float().to(self._device)
        self.resident = self._on_device()
        self.prepare()
        self.optimiser = settings.optimiser(
            parameter for module in self.modules().values() for parameter in module.parameters()
        )

    def prepare(self) -> None:  # noqa: B027
        """Create what a stage has beside network and objective, before the optimiser is made."""

    @property
    def defended(self) -> nn.Module:
        """What is attacked and deployed in the end: the network, or a wrapper around it."""
        return self.network

    def modules(self) -> dict[str, nn.Module]:
        """Everything that is trained and saved."""
        return {"network": self.network, "objective": self.objective}

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epoch >= self.settings.epochs

    def judge(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Take note of what validation measured after the last epoch; metrics to be added to it.

        ``metrics``: by their names in validation, ``val/clean_map``, ``val/robust_map`` and
        ``val/chance_map``, that of a random order, among them. Most stages are not interested.
        """
        return {}

    def conclude(self) -> None:  # noqa: B027
        """Bring :attr:`defended` to its final state, once after the last epoch."""

    def split_batches(self, physical_batch: int) -> None:
        """From now on at most ``physical_batch`` images pass a network at once.

        A step is still one of the whole batch: losses see all its features, and the gradient is
        that of the whole batch up to rounding; :meth:`changed_by_splitting` names the exceptions.
        The training set leaves the GPU.
        """
        self.physical_batch = physical_batch
        self.resident = None

    def changed_by_splitting(self) -> list[str]:
        """What a physical batch changes in this stage beyond rounding, in words."""
        self.set_mode()
        return changed_by_splitting(self._networks())

    def in_parts(self, function: Callable[..., Outputs], *rows: Tensor) -> Outputs:
        """:func:`saat.micro_batches.in_parts`; losses call every network through here."""
        return in_parts(function, rows, self.physical_batch, self._networks())

    def _networks(self) -> list[nn.Module]:
        """All modules but the objective, which always sees whole batches."""
        return [module for name, module in self.modules().items() if name != "objective"]

    @abstractmethod
    def batch_loss(self, images: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Scalar loss of a batch; networks are called through :meth:`in_parts`.

        Random choices come from torch's global generators, which every epoch seeds anew.

        Args:
            images: float (B, 3, H, W) in [0, 1].
            labels: float 0/1 (B, C).
            index: int64 (B,), positions within the training set.
        """

    def set_mode(self) -> None:
        """Put all modules into the mode of this stage."""
        for module in self.modules().values():
            module.train()

    def run_epoch(self, progress: Callable[[int, int], None] | None = None) -> dict[str, float]:
        """One pass over the training set in a seeded order: ``train/loss`` and ``train/lr``.

        The loss is the mean over batches. ``progress`` is called with (batches done, in all).

        Raises:
            InputError: batches of one image, and batch norm in training mode.
            TrainingFailed: a loss that is not finite.
        """
        draw = (self.stage, self.seed, self.epoch)
        seed_torch(*draw)
        order = torch.randperm(len(self.train_labels), generator=generator("order", *draw))
        batches = split_into_batches(order, self.settings.batch_size)
        total, lr = torch.zeros((), device=self._device), self.settings.lr
        self.set_mode()
        if len(batches[0]) == 1 and has_batch_norm(self._networks()):
            raise InputError(
                f"batch_size {self.settings.batch_size}, {len(order)} training images: batch norm "
                f"needs at least 2 images a batch ({self.stage})"
            )
        with stage(self.work), closing(self._images(batches)) as images:
            for number, (index, batch) in enumerate(zip(batches, images, strict=True)):
                iteration = self.epoch * len(batches) + number
                lr = self.settings.lr_at(iteration, self.settings.epochs * len(batches))
                total += self.step(index, lr, batch)
                if progress:
                    progress(number + 1, len(batches))
            mean = float(total) / len(batches)
        self.epoch += 1
        if not math.isfinite(mean):
            raise TrainingFailed(f"{self.stage} loss is {mean} in epoch {self.epoch}; lower lr")
        return Phase.TRAINING.keyed({"loss": mean, "lr": lr})

    def step(self, index: Tensor, lr: float, images: Tensor | None = None) -> Tensor:
        """One step on the training rows ``index``, int64 (B,), at learning rate ``lr``; its loss.

        ``images`` are those of the rows, float (B, 3, H, W) in [0, 1]; None: they are read now.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        on_device = index.to(self._device)
        batch = next(self._images([index])) if images is None else images
        loss = self.batch_loss(batch, self.train_labels[on_device], on_device)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.update()
        return loss.detach()

    def update(self) -> None:
        """One step of the optimiser along the gradients."""
        self.optimiser.step()

    def _images(self, batches: Sequence[Tensor]) -> Generator[Tensor, None, None]:
        """Float images of every batch of training rows."""
        if (resident := self.resident) is not None:
            read = (resident[index.to(self._device)] for index in batches)
        else:
            read = batches_for(self._device, self._read, [index.numpy() for index in batches])
        with closing(read) as images:
            for batch in images:
                yield to_float(batch, self._device)

    def _read(self, rows: np.ndarray | slice) -> Tensor:
        """Bytes of positions within the training set, pinned for a GPU."""
        pinned = self._device.type == "cuda"
        return self._data.batch(self._data.train[rows], pinned)

    def _on_device(self) -> Tensor | None:
        size = self._data.images[0].nbytes * len(self._data.train)
        if self._device.type == "cuda" and size <= _RESIDENT_SHARE * free_bytes(self._device):
            return self._data.batch(self._data.train).to(self._device)
        return None

    def train_features(self) -> Tensor:
        """Pre-tanh features (N, K) of the training set under the present network."""
        return encode(self.network, self._read, len(self._data.train))

    @classmethod
    def keeps_codes(cls, settings: OptimiserSettings) -> bool:
        """Whether :meth:`train_codes` gives codes under these settings."""
        return cls.train_codes is not Training.train_codes

    def train_codes(self) -> Tensor | None:
        """Codes of the training set, int8 ±1 (N, K), each as of its row's last visit.

        None where a stage keeps none. They are those of the network before the step that the visit
        led to, so after an epoch of a small learning rate they differ in few bits from codes that
        are computed anew (``docs/results/validation.md``).
        """
        return None

    def buffers(self) -> dict[str, Tensor]:
        """State of this stage beyond its modules and the optimiser."""
        return {}

    def load_buffers(self, tensors: dict[str, Tensor]) -> None:
        """Inverse of :meth:`buffers`: they are overwritten in place."""
        for name, buffer in self.buffers().items():
            buffer.copy_(tensors[name])

    def state(self, meta: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What a checkpoint of this stage holds: the tensors themselves, ``meta`` and the epoch."""
        tensors = tensor_file.prefixed("buffer", self.buffers())
        for name, module in self.modules().items():
            tensors |= tensor_file.prefixed(name, module.state_dict())
        for number, state in self.optimiser.state_dict()["state"].items():
            values = {name: value for name, value in state.items() if isinstance(value, Tensor)}
            tensors |= tensor_file.prefixed(f"optimiser.{number}", values)
        return tensors, {**meta, "stage": self.stage, "epoch": self.epoch}

    def restore(self, path: Path) -> dict[str, Any]:
        """Continue from a checkpoint of this stage; its meta. A damaged one is ``CorruptFile``."""
        tensors, meta = tensor_file.load(path)
        if meta["stage"] != self.stage:
            raise tensor_file.CorruptFile(f"{path}: a checkpoint of stage {meta['stage']}")
        self.load_state(tensors, meta)
        return meta

    def load_state(self, tensors: dict[str, Tensor], meta: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        for name, module in self.modules().items():
            module.load_state_dict(tensor_file.tensors_under(name, tensors))
        self.load_buffers(tensor_file.tensors_under("buffer", tensors))
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensor_file.tensors_under("optimiser", tensors).items():
            number, name = key.split(".")
            state.setdefault(int(number), {})[name] = tensor
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": state, "param_groups": groups})
        self.epoch = int(meta["epoch"])
