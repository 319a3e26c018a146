"""Kernels against the plain formula, on one core: ``python -m benchmarks.kernels``.

Mainstay codes by label groups against the direct sum over the training set; AP by counted
distances against a sort per query, and against the search of faiss where it is installed; the
input gradient alone against the gradient of everything. Sizes and label statistics are those of
the field's benchmarks (train or database rows, labels, mean number of labels); labels and codes
are random.
"""

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import HEADER, Work, machine, row
from benchmarks.trial_plain import mainstay_codes
from saat import distance_counts, distance_counts_numpy
from saat.attacks.pgd import input_gradient
from saat.attacks.query_batches import frozen
from saat.codes import pack_bits, sign
from saat.mainstay import MainstayCodes
from saat.models import build_network
from saat.packed_codes import Packed
from saat.protocol_options import Ties
from saat.retrieval import Database

Kind = Literal["stable"] | None  # of a sort; NumPy's default is not stable

BITS = 32
BATCH = 32
QUERIES = 128
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


def sorted_ap(query: Rows, database: Rows, top_k: int, kind: Kind) -> float:
    """AP of one query after another, by sorting the database, as the reference codes do."""
    total = 0.0
    codes, labels = database.codes.numpy(), database.labels.numpy()
    for code, label in zip(query.codes.numpy(), query.labels.numpy(), strict=True):
        distance = 0.5 * (BITS - codes @ code)
        order = np.argsort(distance, kind=kind)[:top_k]
        hits = (labels[order] @ label) > 0
        ranks = np.flatnonzero(hits) + 1
        total += float(np.mean(np.arange(1, len(ranks) + 1) / ranks)) if len(ranks) else 0.0
    return total / len(query.codes)


def mainstay_works(rows: Rows) -> tuple[Work, Work]:
    """Mainstay codes of a batch: ours, and the plain formula."""
    groups, index = MainstayCodes(*rows), torch.arange(BATCH)
    exact = rows.labels[:BATCH].double(), rows.codes.double(), rows.labels.double()
    return lambda: groups.of_rows(index), lambda: mainstay_codes(*exact)


def ap_works(query: Rows, database: Rows, ties: Ties = "expected") -> tuple[Work, Work]:
    """AP@5000 of all queries: ours, and by sorting."""
    held, kind = Database(*database), None if ties == "expected" else ties
    return (
        lambda: held.average_precision(*query, 5000, ties),
        lambda: sorted_ap(query, database, 5000, kind),
    )


def ap_rows(name: str, query: Rows, database: Rows) -> None:
    """AP of a query in a data set: each way beside a sort per query, and beside faiss."""
    queries, packed = len(query.codes), Packed.of(*database)
    ours, by_sorting = ap_works(query, database)

    def by_numpy() -> None:
        counts = np.zeros((queries, 2 * (BITS + 1)), np.int64)
        distance_counts_numpy.count(Packed.of(*query), packed, counts, 5000)

    print(row(f"AP@5000 of a query, {name}", ours, by_sorting, 3, queries))
    print(row("– without Numba", by_numpy, by_sorting, 3, queries))
    print(row("– stable order", *ap_works(query, database, "stable"), 3, queries), flush=True)
    try:
        import faiss
    except ImportError:
        print("| faiss is not installed (`pip install faiss-cpu`) | | | | | |")
    else:
        bits = pack_bits(query.codes), pack_bits(database.codes)
        index = faiss.IndexBinaryFlat(BITS)
        index.add(bits[1])
        for threads in (1, 2):
            faiss.omp_set_num_threads(threads)
            torch.set_num_threads(threads)
            work = f"– plain is faiss, {threads} thread(s)"
            print(row(work, ours, lambda: index.search(bits[0], 5000), 3, queries), flush=True)
        torch.set_num_threads(1)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    distance_counts.COMPILED_FROM = 0  # as in a search, where every attack has its queries
    generator = torch.Generator().manual_seed(0)
    print(machine(), *HEADER, sep="\n", flush=True)
    for name, (train, size, classes, mean) in SETS.items():
        rows = Rows.drawn(train, classes, mean, generator)
        work = f"mainstay codes of a batch of {BATCH}, {name}"
        print(row(work, *mainstay_works(rows), 9))
        query = Rows.drawn(QUERIES, classes, mean, generator)
        ap_rows(name, query, Rows.drawn(size, classes, mean, generator))
    gradient_row()


def gradient_row() -> None:
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

    print(row(f"PGD step of a batch of {BATCH}, small_cnn", alone, everything, 99))


if __name__ == "__main__":
    main()
