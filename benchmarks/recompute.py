"""Recompute a run's numbers without the project's metrics: ``python -m benchmarks.recompute RUN``.

Of ``saat`` only the networks' forward pass and the data set are used. Distances, tie-expected AP
and the worst case are written out here once more, from the papers' formulas, and compared with
what the run stored: AP per query under every attack, and that the worst case is at or below every
single attack for every query.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from harness.evaluation.models import trained_subject
from reports.trial_arrays import read_adversarial
from saat.wording import counted

TOLERANCE = 1e-9


def codes(network: torch.nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """±1 codes of uint8 images; sign(0) is +1."""
    network.eval()
    parts = []
    with torch.no_grad():
        for start in range(0, len(images), 100):
            batch = torch.from_numpy(images[start : start + 100]).float() / 255
            parts.append(network(batch).numpy())
    return np.where(np.concatenate(parts) >= 0, 1.0, -1.0)


def expected_ap(distance: NDArray[np.float64], relevant: NDArray[np.bool_], top_k: int) -> float:
    """AP@top_k over all orders of equal distances (1705.08562), block by block of ties."""
    gain = found = before = relevant_before = 0.0
    for value in np.unique(distance):
        block = relevant[distance == value]
        n, r = len(block), float(block.sum())
        i = np.arange(1, n + 1)
        i = i[before + i <= top_k]
        slope = (i - 1) * (r - 1) / (n - 1) if n > 1 else np.zeros(len(i))
        gain += float((r / n * (relevant_before + 1 + slope) / (before + i)).sum())
        found += len(i) * r / n
        before += n
        relevant_before += r
    return gain / found if found > 0 else 0.0


def check(folder: Path) -> tuple[int, float]:
    """Numbers compared in a trial's folder, and the largest difference.

    Raises:
        AssertionError: the worst case is above a single attack.
    """
    subject = trained_subject(folder)
    data, top_k = subject.data, subject.evaluation.top_k
    database = codes(subject.network, data.images[data.database])
    labels = data.labels[data.database].astype(np.float64)
    table = pd.read_parquet(folder / "per_query.parquet")
    stored = table.pivot_table(index="query", columns="attack", values="ap", aggfunc="min")
    arrays = read_adversarial(folder / "adversarial.npz")
    images = {"clean": data.images[data.test]}
    no_images = ("rows", "_target", "_queries")
    images |= {n: a for n, a in arrays.items() if not n.endswith(no_images)}
    compared, largest = 0, 0.0
    worst = np.full(len(data.test), np.inf)
    for name, shown in images.items():
        targeted = f"{name}_target" in arrays
        wanted = arrays[f"{name}_target"] if targeted else data.labels[data.test]
        relevant = wanted.astype(np.float64) @ labels.T > 0
        distance = (database.shape[1] - codes(subject.network, shown) @ database.T) / 2
        ap = np.array([expected_ap(d, r, top_k) for d, r in zip(distance, relevant, strict=True)])
        rows = arrays.get(f"{name}_queries", np.arange(len(ap)))
        largest = max(largest, float(np.abs(ap[rows] - stored[name].to_numpy()[rows]).max()))
        compared += len(ap)
        if not targeted:
            worst = np.minimum(worst, ap)
            assert (stored["worst"].to_numpy() <= ap + TOLERANCE).all(), f"{folder}: {name}"
    return compared + len(worst), max(largest, float(np.abs(worst - stored["worst"]).max()))


def main() -> None:
    """Check every trial of a run that kept its images."""
    folders = sorted(path.parent for path in Path(sys.argv[1]).glob("trials/*/adversarial.npz"))
    for folder in folders:
        compared, largest = check(folder)
        print(f"{folder.name}: {compared} AP values, largest difference {largest:.1e}", flush=True)
        if largest > TOLERANCE:
            sys.exit(f"{folder}: stored and recomputed AP differ")
    trials = counted(len(folders), "trial")
    print(f"{trials}: the worst case is at or below every single attack everywhere")


if __name__ == "__main__":
    main()
