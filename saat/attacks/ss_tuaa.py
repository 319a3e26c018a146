"""SS-TUAA: one perturbation for all queries of a target (Zhu et al., ICASSP 2024)."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from saat.attacks.interface import Knowledge, Progress, TrainingImages
from saat.attacks.learned_images import AnchoredImages
from saat.attacks.p2p import Anchors, group_of
from saat.attacks.pgd import finite_gradient
from saat.attacks.sdha import Adam
from saat.labels import unchecked_relevance
from saat.models import to_float
from saat.prototype import target_vectors
from saat.retrieval import average_precision
from saat.seeding import generator
from saat.settings import option
from saat.threat_model import ThreatModel

LEARNING_RATE = 0.01
# A bit nearer to the anchor's than this has arrived, and drops out.
ARRIVED = 0.3


def masked_distance(relaxed: Tensor, anchor: Tensor) -> Tensor:
    """1 − Σ m·a·u / Σ m, m = [|a − u| > 0.3], mean over relaxed codes u (B, K): scalar.

    ``anchor`` is ±1 (K,). An image of which every bit has arrived has 1, without a gradient.
    """
    left = ((anchor - relaxed).abs() > ARRIVED).to(relaxed.dtype)
    reached = (left * anchor * relaxed).sum(1) / left.sum(1).clamp_min(1)
    return 1 - reached.mean()


def layer_distance(outputs: list[Tensor]) -> Tensor:
    """Mean over layers and images of 1 − cos(φ(x + δ), φ(δ)): scalar.

    ``outputs`` holds φ of each layer (1 + B, …), first of the perturbation δ alone, then of the
    perturbed images.
    """
    flat = [layer.flatten(1) for layer in outputs]
    return torch.stack([1 - cosine_similarity(one[1:], one[:1]).mean() for one in flat]).mean()


def anchor_codes(labels: Tensor, knowledge: Knowledge) -> Tensor:
    """The database code that retrieves each target best: float ±1 (G, K).

    Candidates are the distinct codes of database items that share a label with the target. The
    best one has the highest AP over the training set; of equal ones the first in order counts.
    ``labels`` are 0/1 (G, C), each shared by an item of the database.
    """
    codes, known = knowledge.database_codes, knowledge.train_codes
    found = []
    for label in labels.to(codes.device):
        wanted = unchecked_relevance(label[None], knowledge.database_labels)[0]
        candidates = codes[wanted].unique(dim=0)
        asked = label.expand(len(candidates), -1)
        ap = average_precision(candidates, asked, known, knowledge.train_labels)
        found.append(candidates[ap.argmax()].float())
    return torch.stack(found)


def _targets(train: TrainingImages, knowledge: Knowledge) -> Tensor:
    """Label vectors to learn for, float (G, C): those asked for that share one with the database.

    Where none does, all of the database; an ``InputError`` if it has none.
    """
    known = knowledge.database_labels
    if train.targets is not None:
        asked = train.targets.to(known.device)
        asked = asked[unchecked_relevance(asked, known).any(1)]
        if len(asked):
            return target_vectors(asked)
    return target_vectors(known)


@contextmanager
def convolutions(network: nn.Module) -> Iterator[dict[nn.Module, Tensor]]:
    """What every convolution of ``network`` last returned, in the order of calls."""
    outputs: dict[nn.Module, Tensor] = {}

    def keep(layer: nn.Module, _: object, output: Tensor) -> None:
        outputs[layer] = output

    with ExitStack() as hooks:
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                hooks.enter_context(layer.register_forward_hook(keep))
        yield outputs


@dataclass(frozen=True)
class SSTUAA(AnchoredImages):
    """One perturbation δ for all queries of a target, learned on the training images.

    It minimises 1 − Σ m·a·u/Σ m + λ·mean over convolutions of (1 − cos(φ(x + δ), φ(δ))), u = tanh f
    of the perturbed image, a the target's anchor code (:func:`anchor_codes`), and m the bits that
    have not arrived (|a − u| > 0.3). The second term makes the layers see the perturbation rather
    than the image. δ starts at zero, is moved by Adam, and stays in the ball of the protocol.

    A target that shares no label with the database has no perturbation: its queries stay as they
    are.
    """

    updates: int = option(
        2090, ge=1, le=10_000_000, help="updates of a perturbation, of a batch each"
    )
    batch_size: int = option(24, ge=1, le=65_536, help="training images per update")
    layers: float = option(1.0, ge=0, le=1000, help="weight λ of the layers' term")
    perturbations: Tensor | None = field(default=None, repr=False, compare=False)

    def fit(
        self,
        network: nn.Module,
        train: TrainingImages,
        knowledge: Knowledge,
        threat: ThreatModel,
        seed: int,
        progress: Progress | None = None,
    ) -> Self:
        """Learn the perturbation of every target that will be asked for, in the ball."""
        vectors = _targets(train, knowledge)
        anchors = Anchors(vectors.double(), anchor_codes(vectors, knowledge))
        shape, learned = train.images(torch.tensor([0])).shape[1:], []
        for number, anchor in enumerate(anchors.codes):
            adam, change = Adam(LEARNING_RATE), torch.zeros(1, *shape, device=anchor.device)
            for index in self._batches(len(train.labels), seed):
                images = to_float(train.images(index), anchor.device)
                moved = change - adam.step(self._slope(network, images, change, anchor))
                change = threat.nearest(moved)
            learned.append(change)
            if progress:
                progress((number + 1) * self.updates, len(vectors) * self.updates)
        return replace(self, anchors=anchors, perturbations=torch.cat(learned))

    def _batches(self, count: int, seed: int) -> Iterator[Tensor]:
        """Positions of the training images of every update: pass after pass in a drawn order."""
        draws, left = generator("ss_tuaa", seed), self.updates
        while left:
            batches = torch.randperm(count, generator=draws).split(self.batch_size)[:left]
            yield from batches
            left -= len(batches)

    def _slope(self, network: nn.Module, images: Tensor, change: Tensor, anchor: Tensor) -> Tensor:
        """The gradient of the loss in the perturbation, (1, 3, H, W)."""
        moved = change.detach().requires_grad_(True)
        with convolutions(network) as outputs:
            features = network(torch.cat([moved, (images + moved).clamp(0, 1)]))
        loss = masked_distance(torch.tanh(features[1:]), anchor)
        if outputs:
            loss = loss + self.layers * layer_distance(list(outputs.values()))
        (gradient,) = torch.autograd.grad(loss, moved)
        return finite_gradient(gradient)

    def generate(self, images: Tensor, labels: Tensor) -> Tensor:
        """Images plus the perturbations of their targets; see :meth:`LearnedImages.generate`."""
        changes = self._fitted(self.perturbations).to(images)
        row, found = group_of(labels, self._fitted(self.anchors).vectors)
        return (images + changes[row] * found.view(-1, 1, 1, 1)).clamp(0, 1)
