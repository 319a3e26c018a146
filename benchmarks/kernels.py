"""Kernels against the plain formula, on one core: ``python -m benchmarks.kernels``.

Mainstay codes by label groups against the direct sum over the training set; AP by histograms
against a sort per query; the input gradient alone against the gradient of everything. Sizes and
label statistics are those of the field's benchmarks (train or database rows, labels, mean number
of labels); labels and codes are random.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from saat.attacks.pgd import input_gradient
from saat.attacks.query_batches import frozen
from saat.codes import sign
from saat.mainstay import MainstayCodes
from saat.models import build_network
from saat.retrieval import average_precision

BITS = 32
BATCH = 32
# name: (train rows, database rows, labels, mean labels an image)
SETS = {
    "FLICKR-25K": (5000, 23300, 38, 4.7),
    "NUS-WIDE": (10500, 193734, 21, 2.4),
    "MS-COCO": (10000, 117218, 80, 2.9),
}


class Rows(NamedTuple):
    """Codes ±1 (rows, BITS) and 0/1 labels (rows, labels)."""

    codes: Tensor
    labels: Tensor

    @classmethod
    def drawn(cls, rows: int, labels: int, mean: float, generator: torch.Generator) -> "Rows":
        """Random codes; random labels with Zipf-like frequencies, ``mean`` an image."""
        weight = 1 / torch.arange(1, labels + 1)
        chance = (weight * mean / weight.sum()).clamp(max=0.9)
        has = (torch.rand(rows, labels, generator=generator) < chance).float()
        return cls(sign(torch.randn(rows, BITS, generator=generator)), has)


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median seconds of a call, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return sorted(times)[len(times) // 2]


def direct_mainstay(y: Tensor, codes: Tensor, labels: Tensor) -> Tensor:
    """Eq. 10 as matrix products over the whole training set, float64."""
    shared = y @ labels.T
    similarity = shared / (y.norm(dim=1)[:, None] * labels.norm(dim=1)[None]).clamp_min(1e-12)
    negative = (shared == 0).double()
    pull = similarity / similarity.sum(1, keepdim=True).clamp_min(1e-12)
    push = negative / negative.sum(1, keepdim=True).clamp_min(1)
    return sign((pull - push) @ codes)


def sorted_ap(query: Tensor, y: Tensor, codes: Tensor, labels: Tensor, top_k: int) -> float:
    """AP of one query after another, by sorting the database."""
    total = 0.0
    for code, label in zip(query, y, strict=True):
        order = (BITS - codes @ code).argsort(stable=True)[:top_k]
        hits = ((labels[order] @ label) > 0).double()
        ranks = torch.arange(1, len(hits) + 1)
        total += float((hits.cumsum(0) / ranks * hits).sum() / hits.sum().clamp_min(1))
    return total / len(query)


def mainstay_seconds(rows: Rows, repeats: int, plain_repeats: int) -> tuple[float, float]:
    """Mainstay codes of a batch: ours, and the plain formula."""
    groups, index = MainstayCodes(*rows), torch.arange(BATCH)
    exact = rows.labels[:BATCH].double(), rows.codes.double(), rows.labels.double()
    ours = seconds(lambda: groups.of_rows(index), repeats)
    return ours, seconds(lambda: direct_mainstay(*exact), plain_repeats)


def ap_seconds(query: Rows, database: Rows) -> tuple[float, float]:
    """AP@5000 of all queries: ours, and by sorting."""
    ours = seconds(lambda: average_precision(*query, *database, 5000), 3)
    return ours, seconds(lambda: sorted_ap(*query, *database, 5000), 1)


def report(what: str, ours: float, plain: float, unit: str) -> None:
    """One line: ours, plain, ratio."""
    line = f"{what:<38}{1e3 * ours:10.3f} ms{1e3 * plain:12.3f} ms{plain / ours:9.1f}×  {unit}"
    print(line, flush=True)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    print(f"{'one core, torch ' + torch.__version__:<38}{'ours':>13}{'plain':>15}{'ratio':>10}")
    for name, (train, size, classes, mean) in SETS.items():
        mainstay = mainstay_seconds(Rows.drawn(train, classes, mean, generator), 50, 5)
        report(f"mainstay codes, {name}", *mainstay, "a batch of 32")
        query = Rows.drawn(BATCH, classes, mean, generator)
        ours, plain = ap_seconds(query, Rows.drawn(size, classes, mean, generator))
        report(f"AP@5000, {name}", ours / BATCH, plain / BATCH, "a query")
    gradient_benchmark()


def gradient_benchmark() -> None:
    """A PGD step on ``small_cnn``: input gradient alone, and of input and parameters."""
    network = build_network("small_cnn", "none", BITS, 32, 0).eval()
    images = torch.rand(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last)

    def loss(features: Tensor, _: int) -> Tensor:
        return torch.tanh(features).mean(1)

    def everything() -> None:
        point = images.detach().requires_grad_(True)
        loss(network(point), 0).sum().backward()

    def alone() -> Tensor:
        with frozen(network):
            return input_gradient(network, loss, images, 0)

    with torch.no_grad():
        forward = seconds(lambda: network(images), 100)
    report("PGD step, small_cnn", seconds(alone, 100), seconds(everything, 100), "a batch of 32")
    print(f"{'forward, small_cnn':<38}{1e3 * forward:10.3f} ms{'':>24}  a batch of 32")


if __name__ == "__main__":
    main()
