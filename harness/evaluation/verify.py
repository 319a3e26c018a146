"""``saat verify``: recompute the reported numbers of a run from the stored images.

Only the network's forward pass, the labels and the stored bytes enter; no attack is run again.
What cannot be recomputed that way (fractions of zero gradients) is named, not passed over.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.evaluation.models import load_model, trained_subject
from harness.experiment.file import load_stored
from harness.experiment.sections import EvaluationSection
from harness.trial.records import Record, read_record
from reports.results import SearchResults, load_search
from reports.run_folder import trial_folder
from reports.trial_arrays import read_adversarial
from saat.bootstrap import bootstrap_interval
from saat.codes import distinct_codes
from saat.errors import InputError, printable
from saat.perceptibility import perceptibility
from saat.threat_model import ThreatModel
from saat.victim import Victim
from saat.wording import counted

# AP is a sum of float64 in another order at most; codes are recomputed, not stored.
_TOLERANCE = 1e-9
_NOT_RECOMPUTED = ("zero_grad.", "theory.", "floor_map", "gates_failed")


@dataclass(frozen=True)
class Discrepancy:
    """A reported number that its images do not give."""

    trial_id: str
    name: str
    reported: float
    recomputed: float

    def __str__(self) -> str:
        return (
            f"{self.trial_id}: {self.name}: reported {self.reported:.6f}, "
            f"recomputed {self.recomputed:.6f}"
        )


@dataclass
class Verification:
    """What was compared.

    Attributes:
        numbers: reported numbers that were recomputed.
        wrong: those that differ.
        without_images: trials that kept no images (explore trials keep AP per query alone).
        left_out: reported metrics of kinds that images alone do not determine.
    """

    numbers: int
    wrong: list[Discrepancy]
    without_images: int
    left_out: int

    def text(self) -> str:
        """Lines for the terminal."""
        lines = [str(item) for item in self.wrong[:20]]
        if len(self.wrong) > len(lines):
            lines.append(f"… and {len(self.wrong) - len(lines)} more")
        lines.append(
            f"{counted(self.numbers, 'number')} recomputed from stored images, "
            f"{counted(len(self.wrong), 'differs', 'differ')}; not determined by images: "
            f"{counted(self.left_out, 'number')} on gradients and representative codes; "
            f"without images: {counted(self.without_images, 'trial')}"
        )
        return "\n".join(printable(line) for line in lines)


def verify(run_dir: Path, cache_dir: str | None, say: Callable[[str], None]) -> Verification:
    """Recompute every trial of a run that kept its attacked images.

    Raises:
        InputError: no such run, or files of it are missing or broken.
    """
    results = load_search(run_dir)
    load_stored(run_dir / "experiment.yaml")  # refuses values that must not be shown
    found = Verification(0, [], 0, 0)
    for trial in results.trials.to_dict("records"):
        folder = trial_folder(run_dir, str(trial["trial_id"]))
        if not (folder / "adversarial.npz").is_file():
            found.without_images += 1
            continue
        say(f"verifying {trial['trial_id']}")
        reported = _reported(results, folder, trial)
        recomputed = dict(_recomputed(folder, cache_dir))
        for name, value in reported.items():
            if name.startswith(_NOT_RECOMPUTED):
                found.left_out += 1
                continue
            found.numbers += 1
            again = recomputed.get(name, float("nan"))
            if not abs(again - value) <= _TOLERANCE:
                found.wrong.append(Discrepancy(str(trial["trial_id"]), name, value, again))
    if not found.numbers:
        raise InputError(f"{run_dir}: no trial kept attacked images; confirm and train trials do")
    return found


class _Result(Record):
    """The metrics, with any values: an impossible one is found by the comparison."""

    metrics: dict[str, float]


def _reported(results: SearchResults, folder: Path, trial: dict[Any, Any]) -> dict[str, float]:
    """What the table and the per-query file say, by the names of :func:`_recomputed`."""
    prefix = "metric.test/"
    out = {
        str(name).removeprefix(prefix): float(value)
        for name, value in trial.items()
        if str(name).startswith(prefix) and value == value
    }
    # Without its checksum: here every number is recomputed.
    stored = read_record(folder / "result.json", _Result, verified=False)["metrics"]
    out |= {f"result.json {k.removeprefix('test/')}": float(v) for k, v in stored.items()
            if not k.removeprefix("test/").startswith(_NOT_RECOMPUTED)}  # fmt: skip
    table = results.per_query(str(trial["trial_id"]))
    if table is not None:
        for row in table.itertuples():
            out[f"per query {row.query} {row.attack}"] = float(row.ap)  # type: ignore[arg-type]
    return out


def _recomputed(folder: Path, cache_dir: str | None) -> Iterator[tuple[str, float]]:
    """Every number that images, weights and labels determine."""
    victim = stored_victim(folder, cache_dir)
    _, meta = load_model(folder)
    protocol = EvaluationSection.model_validate(meta["evaluation"])
    stored = stored_images(folder)
    if not np.array_equal(stored.pop("rows").numpy(), victim.rows):
        raise InputError(f"{folder / 'adversarial.npz'}: images of other queries")
    targets, taken = (_companions(stored, end) for end in ("_target", "_taken"))
    yield from _both("clean_map", victim.clean_ap.mean())
    yield from _both("chance_map", victim.chance_ap.mean())
    yield from _both("lift.clean", bootstrap_interval(victim.clean_ap - victim.chance_ap).low)
    yield from _both("distinct_codes", distinct_codes(victim.database_codes))
    ap = {"clean": victim.clean_ap}
    worst, worst_target = victim.clean_ap, torch.zeros_like(victim.clean_ap)
    threat = ThreatModel(protocol.eps, protocol.norm)
    for name, images in stored.items():
        if images.shape != victim.images.shape:
            raise InputError(
                f"{folder / 'adversarial.npz'}: images of {name}: {tuple(images.shape)}, where "
                f"{tuple(victim.images.shape)} belongs"
            )
        size = float(threat.size(images, victim.images).max())
        if size > protocol.eps * (1 + 1e-6) + 1e-9:
            raise InputError(f"{folder}: images of {name} leave the ball: {size:.6f}")
        target = targets.get(name)
        ap[name] = victim.ap(victim.codes(images), target)
        if target is None:
            worst = torch.minimum(worst, ap[name])
        else:
            benign = victim.ap(victim.query_codes, target)
            worst_target = torch.stack([worst_target, benign, ap[name]]).amax(0)
            yield from _both("tmap.clean", benign.mean())
        rows = taken.get(name, torch.arange(len(victim.rows)))
        yield from _both(f"{'map' if target is None else 'tmap'}.{name}", ap[name][rows].mean())
        for kind, value in perceptibility(victim.images[rows], images[rows]).items():
            yield from _both(f"{kind}.{name}", value)
    ap["worst"] = worst
    yield from _both("robust_map", worst.mean())
    yield from _both("lift.robust", bootstrap_interval(worst - victim.chance_ap).low)
    if targets:
        yield from _both("target_map", worst_target.mean())
    for name, values in ap.items():
        for query, value in enumerate(values.tolist()):
            yield f"per query {query} {name}", value


def _companions(stored: dict[str, torch.Tensor], end: str) -> dict[str, torch.Tensor]:
    """Take what belongs to attacks out of the arrays: by attack, without the ending."""
    names = [name for name in stored if name.endswith(end)]
    return {name.removesuffix(end): stored.pop(name) for name in names}


def stored_images(folder: Path) -> dict[str, torch.Tensor]:
    """``adversarial.npz`` of a trial: uint8 images by attack, ``rows``, ``ATTACK_target``."""
    arrays = read_adversarial(folder / "adversarial.npz")
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def stored_victim(folder: Path, cache_dir: str | None) -> Victim:
    """The trained model of a trial and its test queries, under its own ranking.

    Raises:
        InputError: no model there, or its data are not here.
    """
    subject = trained_subject(folder, cache_dir)
    protocol = subject.evaluation
    return Victim(subject.network, subject.data, "test", protocol.top_k, protocol.ties)


def _both(name: str, value: Any) -> Iterator[tuple[str, float]]:
    """The metric as trials.parquet and as result.json name it."""
    yield name, float(value)
    yield f"result.json {name}", float(value)
