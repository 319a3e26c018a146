"""A trial as a script in the style of the papers' code runs it; ``benchmarks.trial`` measures it.

Its habits, each of which is in the reference implementation (xandery-geek/SAAT):

- a Dataset opens, resizes and converts an image file whenever the image is needed;
- every batch computes mainstay codes by the whole formula, from the codes of all training rows;
- attacks call ``loss.backward()``, which computes gradients of the parameters too;
- a measurement encodes the training set and the database by itself, one file after the other;
- MAP sorts the database for every query, and SVDs measure how visible an attack is;
- models go from stage to stage through files.

The reference trains without validation. A search needs numbers after every epoch, so this script
calls the reference's way of measuring there.

Random numbers are torch's own, so the results differ from ours as those of another seed do.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from saat.data.layouts import read_lists
from saat.data.splits import draw_validation
from saat.models import build_network
from saat.precision import Precision
from saat.stopwatch import Stage, stage

# Radius of the ball of trainings and attacks.
EPS = 8 / 255


@dataclass(frozen=True)
class Size:
    """FLICKR-25K's protocol on few images, with a twentieth of the published epochs.

    Attributes:
        backbone: name; its weights are random.
        side: of the images, in pixels.
        train: training images, all in the database.
        searched: database images that queries search.
        queries: validation queries, which a search's trial attacks.
        classes: of drawn photographs.
        bits: code length.
        batch: images a step, and queries at once of the plain way.
        pretrain_epochs: of DPH.
        pretrain_lr: of DPH.
        epochs: of SAAT, each with a validation.
        lr: of SAAT.
        inner_steps: of PGD in training.
        val_steps: of the attack after every epoch.
        steps: of the mainstay attack and of HAG in the end.
        precision: of our trainings (``resources.precision``); all attacks and codes are fp32.
    """

    backbone: str = "alexnet"
    side: int = 224
    train: int = 64
    searched: int = 256
    queries: int = 32
    classes: int = 24
    bits: int = 32
    batch: int = 32
    pretrain_epochs: int = 5
    pretrain_lr: float = 0.01
    epochs: int = 1
    lr: float = 0.05
    inner_steps: int = 7
    val_steps: int = 10
    steps: int = 10
    precision: Precision = "fp32"


ALPHAS = (0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
INNER_STEP = 2 / 255


class ImageFiles(Dataset[tuple[Tensor, Tensor, int]]):
    """Image files, opened whenever they are needed: (3, S, S) in [0, 1], labels (C,), position."""

    def __init__(self, paths: Sequence[Path], labels: np.ndarray, side: int) -> None:
        from torchvision import transforms

        self.paths, self.labels = paths, torch.from_numpy(labels).float()
        resize = transforms.Resize((side, side))
        self.transform = transforms.Compose([resize, transforms.ToTensor()])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor, int]:
        with stage(Stage.DECODE):
            image: Tensor = self.transform(Image.open(self.paths[position]).convert("RGB"))
        return image, self.labels[position], position


class PlainNetwork(nn.Module):
    """Images in [0, 1] (B, 3, H, W) → tanh(α f), relaxed codes (B, K)."""

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, hash_layer: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.backbone, self.hash_layer, self.norm = backbone, hash_layer, norm
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1))

    def forward(self, images: Tensor, alpha: float = 1.0) -> Tensor:
        """See the class."""
        features = self.norm(self.hash_layer(self.backbone((images - self.mean) / self.std)))
        return torch.tanh(alpha * features)


class PlainObjective:
    """DPH with relaxed codes of all training rows."""

    def __init__(self, labels: Tensor, bits: int) -> None:
        self.labels = labels
        self.codes = torch.randn(len(labels), bits).sign()

    def loss(self, relaxed: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Of a batch: relaxed codes (B, K), labels (B, C), positions (B,)."""
        self.codes[index] = relaxed.detach()
        similar = (labels @ self.labels.T > 0).float()
        return (relaxed @ self.codes.T / relaxed.shape[1] - (2 * similar - 1)).square().mean()


class PlainTrial:
    """Files, network and stages."""

    def __init__(self, folder: Path, work: Path, size: Size) -> None:
        self.size, self.work = size, work
        lists = read_lists(folder)
        train, validation = draw_validation(
            lists.rows["train"], lists.rows["database"], size.queries, 0, str(folder)
        )
        database = np.setdiff1d(lists.rows["database"], validation)
        rows = {"train": train, "database": database, "queries": validation}
        self.labels = {name: torch.from_numpy(lists.labels[r]).float() for name, r in rows.items()}
        self.files = {
            name: ImageFiles([folder / lists.paths[i] for i in r], lists.labels[r], size.side)
            for name, r in rows.items()
        }
        torch.manual_seed(0)
        start = build_network(size.backbone, "none", size.bits, size.side, 0)
        self.network = PlainNetwork(start.backbone, start.hash_layer, start.code_norm)
        self.objective = PlainObjective(self.labels["train"], size.bits)

    def run(self) -> dict[str, float]:
        """MAPs of the trial."""
        self.pretrain()
        with stage(Stage.FILES):
            self.network = self.through_a_file("pretrained.pth")
        self.defend()
        with stage(Stage.FILES):
            self.network = self.through_a_file("saat.pth")
        with stage(Stage.REATTACK):
            return self.measure(self.size.steps, {"mainstay": self.mainstay, "hag": self.hag})

    def batches(self, split: str, shuffle: bool = False) -> DataLoader[Any]:
        """Float images, labels and positions of a split."""
        return DataLoader(self.files[split], self.size.batch, shuffle=shuffle)

    def through_a_file(self, name: str) -> PlainNetwork:
        """The network as another script loads it."""
        torch.save(self.network.state_dict(), self.work / name)
        found = copy.deepcopy(self.network)
        found.load_state_dict(torch.load(self.work / name, weights_only=True))
        return found

    def pretrain(self) -> None:
        """DPH on benign images."""
        size = self.size
        optimiser = torch.optim.SGD(
            self.network.parameters(), size.pretrain_lr, momentum=0.9, weight_decay=5e-4
        )
        milestones = [int(0.34 * size.pretrain_epochs), int(0.67 * size.pretrain_epochs)]
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, milestones)
        self.network.train()
        with stage(Stage.PRETRAINING):
            for _ in range(size.pretrain_epochs):
                for images, labels, index in self.batches("train", shuffle=True):
                    loss = self.objective.loss(self.network(images), labels, index)
                    optimiser.zero_grad()
                    loss.backward()
                    optimiser.step()
                schedule.step()

    def defend(self) -> None:
        """SAAT, with a measurement after every epoch."""
        size, train_labels = self.size, self.labels["train"]
        codes = self.codes("train")
        self.objective.codes = codes.clone()
        optimiser = torch.optim.SGD(self.network.parameters(), size.lr, weight_decay=1e-5)
        iterations = size.epochs * len(self.batches("train"))
        milestones = [iterations // 2, iterations * 3 // 4]
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, milestones)
        for _ in range(size.epochs):
            self.network.train()
            for module in self.network.modules():  # attacked batches would pollute statistics
                if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                    module.eval()
            with stage(Stage.OUTER_STEP):
                for images, labels, index in self.batches("train", shuffle=True):
                    mainstay = mainstay_codes(labels, codes, train_labels)
                    with stage(Stage.INNER_PGD):
                        attacked = self.pgd(images, mainstay, size.inner_steps, INNER_STEP, False)
                    self.network.zero_grad()
                    adversarial, benign = self.network(attacked), self.network(images)
                    codes[index] = signs(benign.detach())
                    mainstay = mainstay_codes(labels, codes, train_labels)
                    quantisation = (adversarial - adversarial.detach().sign()).square().mean()
                    loss = 1e-4 * quantisation - (adversarial * mainstay).mean()
                    loss = loss + self.objective.loss(benign, labels, index)
                    loss.backward()
                    optimiser.step()
                    schedule.step()
            with stage(Stage.VALIDATION):
                self.measure(size.val_steps, {"mainstay": self.mainstay})

    def codes(self, split: str) -> Tensor:
        """Codes (N, K) of a split's files."""
        self.network.eval()
        with stage(Stage.ENCODE), torch.no_grad():
            return signs(torch.cat([self.network(images) for images, *_ in self.batches(split)]))

    def measure(self, steps: int, attacks: dict[str, Callable[..., Tensor]]) -> dict[str, float]:
        """MAP of the clean queries and under every attack of ``steps`` iterations."""
        database, train = self.codes("database"), self.codes("train")
        found: dict[str, list[Tensor]] = {"clean": [], **{name: [] for name in attacks}}
        for name, attack in attacks.items():
            for images, labels, _ in self.batches("queries"):
                attacked = attack(
                    images, mainstay_codes(labels, train, self.labels["train"]), steps
                )
                attacked = (attacked * 255).round() / 255  # what a victim would receive
                visibility(attacked - images)
                with stage(Stage.ENCODE), torch.no_grad():
                    found[name].append(signs(self.network(attacked)))
                    if name == "mainstay":
                        found["clean"].append(signs(self.network(images)))
        labels = self.labels["queries"].numpy(), self.labels["database"].numpy()
        return {
            name: sorted_map(torch.cat(codes).numpy(), database.numpy(), *labels)
            for name, codes in found.items()
        }

    def mainstay(self, images: Tensor, mainstay: Tensor, steps: int) -> Tensor:
        """The mainstay attack."""
        return self.pgd(images, mainstay, steps, max(EPS / 4, 2.5 * EPS / steps), True)

    def pgd(
        self, images: Tensor, mainstay: Tensor, steps: int, step_size: float, scheduled: bool
    ) -> Tensor:
        """PGD on mean(tanh(α f)·b) from a random start; parameters have gradients as well."""
        change = torch.zeros_like(images).uniform_(-EPS, EPS)
        change.data = (images + change.data).clamp(0, 1) - images
        change.requires_grad = True
        for step in range(steps):
            alpha = ALPHAS[10 * step // steps] if scheduled else 1.0
            (self.network(images + change, alpha) * mainstay).mean().backward()
            assert change.grad is not None
            moved = (change.data - step_size * change.grad.sign()).clamp(-EPS, EPS)
            change.data = (images + moved).clamp(0, 1) - images
            change.grad.zero_()
        return images + change.detach()

    def hag(self, images: Tensor, mainstay: Tensor, steps: int) -> Tensor:
        """HAG, whose rate of 100 is for a mean over 128 queries; it needs no mainstay codes."""
        del mainstay
        benign = self.network(images).detach()
        point = images.clone().requires_grad_(True)
        optimiser = torch.optim.SGD([point], lr=100 / 128, momentum=0.9)
        for step in range(steps):
            optimiser.zero_grad()
            relaxed = self.network(point, ALPHAS[10 * step // steps])
            mask = ((relaxed - signs(benign)).abs() < 1.5).float()
            agreement = (mask * relaxed * benign).sum(1) / (mask.sum(1) + 1e-8)
            loss = (agreement + 1).square() + (mask * relaxed).mean(1).square()
            loss.sum().backward()
            optimiser.step()
            near = torch.max(torch.min(point.data, images + EPS), images - EPS)
            point.data = near.clamp(0, 1)
        return point.detach()


def signs(values: Tensor) -> Tensor:
    """±1; the sign of 0 is +1."""
    return torch.where(values >= 0, 1.0, -1.0)


def mainstay_codes(labels: Tensor, train_codes: Tensor, train_labels: Tensor) -> Tensor:
    """Theorem 1 over all training rows: labels (B, C), codes (N, K) → (B, K)."""
    lengths = labels.norm(dim=1)[:, None] * train_labels.norm(dim=1) + 1e-8
    similarity = labels @ train_labels.T / lengths
    others = (similarity == 0).to(similarity.dtype)
    near = similarity / similarity.sum(1, keepdim=True).clamp(min=1e-8)
    far = others / others.sum(1, keepdim=True).clamp(min=1)
    return signs(near @ train_codes - far @ train_codes)


def sorted_map(
    codes: np.ndarray, database: np.ndarray, labels: np.ndarray, database_labels: np.ndarray
) -> float:
    """MAP over the whole database, which is sorted for every query."""
    total = 0.0
    for code, label in zip(codes, labels, strict=True):
        relevant = label @ database_labels.T > 0
        order = np.argsort(0.5 * (database.shape[1] - code @ database.T))
        ranks = np.flatnonzero(relevant[order]) + 1
        if len(ranks):
            total += float((np.arange(1, len(ranks) + 1) / ranks).mean())
    return total / len(codes)


def visibility(change: Tensor) -> Tensor:
    """Matrix norms of every channel, and the mean square, as the papers report them."""
    largest = torch.linalg.matrix_norm(change, ord=torch.inf).mean()
    return torch.stack([largest, torch.linalg.matrix_norm(change, ord=2).mean()])
