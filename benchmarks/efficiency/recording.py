"""The table of a recording, and what a replay asks of it.

``TABLE.parquet`` has a row for every setting, seed and epoch: ``setting`` (its number), ``role``
(``default``: the paper's; ``sampled``), ``config_hash``, ``seed``, ``epoch`` from 1, ``param.*``
of the searched keys and of what the defaults fix beside them, ``metric.val/*``, and ``cpu_s``,
seconds of CPU time of the epoch. The last epoch's row also has ``metric.reattack/*`` and
``reattack_cpu_s``. ``pretrain_cpu_s`` is what the pretrained model cost that the setting starts
from; settings of one bit length and seed share it.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.efficiency.design import positions
from harness.experiment.config import Experiment
from harness.experiment.configs import config_at
from harness.search.samplers.ehvi.encoding import Point
from saat.atomic_files import replacing
from saat.feasibility import Aims

Line = dict[str, Any]  # a row of the table, or a finished training
BITS = "model.bits"


class Run(NamedTuple):
    """One setting under one seed."""

    validation: tuple[dict[str, float], ...]  # metrics of every epoch
    seconds: tuple[float, ...]  # CPU time of every epoch
    final: dict[str, float]  # metrics of the re-attack
    final_seconds: float


class Recording:
    """Every recorded setting under every seed.

    Args:
        table: of the recording.
        experiment: the space that it was recorded in.
    """

    def __init__(self, table: Path, experiment: Experiment) -> None:
        frame = pd.read_parquet(table).sort_values("epoch", kind="stable")
        self.space = experiment.space
        self.points: dict[str, Point] = {}  # by config hash, in the order of the design
        self.runs: dict[tuple[str, int], Run] = {}
        self.pretraining: dict[tuple[int, int], float] = {}  # (bits, seed) → CPU seconds
        self.sampled: list[str] = []  # config hashes of the settings that lie in the space
        # Plain rows: thousands of small frames would take seconds.
        trained: dict[tuple[str, int], list[Line]] = defaultdict(list)
        for line in frame.to_dict("records"):
            trained[line["config_hash"], int(line["seed"])].append(cast("Line", line))
        for (full_hash, seed), epochs in trained.items():
            first = epochs[0]
            if full_hash not in self.points:
                self.points[full_hash] = _values(first, "param.")
                if first["role"] == "sampled":
                    self.sampled.append(full_hash)
            self.runs[full_hash, seed] = Run(
                tuple(_values(line, "metric.", "val/") for line in epochs),
                tuple(float(line["cpu_s"]) for line in epochs),
                _values(epochs[-1], "metric.", "reattack/"),
                float(epochs[-1]["reattack_cpu_s"]),
            )
            bits = int(self.points[full_hash].get(BITS, experiment.model.bits))
            self.pretraining[bits, seed] = float(first["pretrain_cpu_s"])
        self.seeds = sorted({seed for _, seed in self.runs})
        self._positions = np.array([positions(self.space, self.points[h]) for h in self.sampled])
        self._hashes = {_key(point): full_hash for full_hash, point in self.points.items()}

    def hash_of(self, point: Mapping[str, Any]) -> str:
        """Config hash of a recorded point."""
        return self._hashes[_key(point)]

    def nearest(self, point: Mapping[str, Any], used: set[str]) -> tuple[str, float]:
        """The recorded setting of the space nearest to a point, of those not ``used``.

        Returns:
            Its config hash and its Euclidean distance in positions, see
            :mod:`benchmarks.efficiency.design`; when all are used, one that is.
        """
        distance = np.linalg.norm(self._positions - positions(self.space, point), axis=1)
        free = np.array([h not in used for h in self.sampled])
        row = int(np.argmin(np.where(free, distance, np.inf) if free.any() else distance))
        return self.sampled[row], float(distance[row])

    def mean_objectives(self) -> dict[str, NDArray[np.float64]]:
        """(clean MAP, robust MAP) of every setting, averaged over its seeds."""
        values: dict[str, list[tuple[float, ...]]] = defaultdict(list)
        for (full_hash, _), run in self.runs.items():
            values[full_hash].append(Aims.of({}).values(run.final))
        return {full_hash: np.mean(rows, axis=0) for full_hash, rows in values.items()}


def _key(point: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(point.items()))


def _values(line: Line, prefix: str, kind: str = "") -> dict[str, Any]:
    """The cells of a row whose columns begin so, as plain values; missing ones are left out."""
    return {
        name.removeprefix(prefix): value.item() if isinstance(value, np.generic) else value
        for name, value in line.items()
        if name.startswith(f"{prefix}{kind}") and not pd.isna(value)
    }


def write_recording(table: Path, experiment: Experiment, lines: Sequence[Line], seeds: int) -> None:
    """Write the table of the finished trainings; a setting that lacks a seed is left out."""
    pretraining = {
        (line["pretrained"], line["seed"]): line["cpu_s"] for line in lines if "pretrained" in line
    }
    trained = [line for line in lines if "setting" in line]
    counts = Counter(line["setting"] for line in trained)
    rows: list[Line] = []
    for line in sorted(trained, key=itemgetter("setting", "seed")):
        if counts[line["setting"]] == seeds:
            bits = config_at(experiment, line["point"]).model.bits
            rows += _rows(line, pretraining[bits, line["seed"]])
    table.parent.mkdir(parents=True, exist_ok=True)
    with replacing(table) as temporary:
        pd.DataFrame(rows).to_parquet(temporary, index=False, compression="zstd")


def _rows(line: Line, pretrain_cpu_s: float) -> list[Line]:
    common = {key: line[key] for key in ("setting", "role", "config_hash", "seed")}
    common |= {f"param.{key}": value for key, value in line["point"].items()}
    rows = []
    for number, epoch in enumerate(line["epochs"], start=1):
        seen = {f"metric.{k}": v for k, v in epoch.items() if k.startswith("val/")}
        rows.append(common | {"epoch": number} | seen | {"cpu_s": epoch["cpu_s"]})
    final = {f"metric.{k}": v for k, v in line["final"].items() if k != "cpu_s"}
    rows[-1] |= final | {"reattack_cpu_s": line["final"]["cpu_s"]}
    return [row | {"pretrain_cpu_s": pretrain_cpu_s} for row in rows]
