"""``saat verify``: recompute the reported numbers of a run from the stored images.

Only the network's forward pass, the labels and the stored bytes enter; no attack is run again.
What cannot be recomputed that way (fractions of zero gradients) is named, not passed over.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.evaluation.models import Subject, trained_subject
from harness.experiment.file import load_stored
from harness.journal.journal import read
from harness.journal.protocol_identity import version_note
from harness.trial.records import Record, read_record
from reports.results import SearchResults, load_search, stored_metrics
from reports.run_folder import trial_folder
from reports.trial_arrays import read_adversarial
from saat.errors import InputError, printable
from saat.evaluation import Evaluation, evaluation_of_images
from saat.metrics import Phase, known
from saat.threat_model import ThreatModel
from saat.victim import Victim
from saat.wording import counted

Numbers = dict[str, float]
# What precedes the names of numbers that are not of trials.parquet.
_RESULT, _QUERY = "result.json ", "per query "
# AP is a sum of float64 in another order at most; codes are recomputed, not stored.
_TOLERANCE = 1e-9


@dataclass
class Verification:
    """What was compared."""

    numbers: int = 0  # reported ones that were recomputed
    wrong: list[str] = field(default_factory=list)  # a line for each that differs
    without_images: int = 0  # trials: those that explored keep AP per query alone
    left_out: int = 0  # reported metrics of kinds that images alone do not determine
    unknown: set[str] = field(default_factory=set)  # metrics that no installed package has

    def text(self) -> str:
        """Lines for the terminal."""
        lines = self.wrong[:20]
        if len(self.wrong) > len(lines):
            lines.append(f"… and {len(self.wrong) - len(lines)} more")
        lines.append(
            f"{counted(self.numbers, 'number')} recomputed from stored images, "
            f"{counted(len(self.wrong), 'differs', 'differ')}; not determined by images: "
            f"{counted(self.left_out, 'number')} on gradients and representative codes; "
            f"without images: {counted(self.without_images, 'trial')}"
        )
        if self.unknown:
            names = ", ".join(sorted(self.unknown))
            lines.append(f"not recomputed, because no installed package has them: {names}")
        return "\n".join(printable(line) for line in lines)


def verify(
    run_dir: Path, cache_dir: str | None, say: Callable[[str], None], allow: Sequence[Path] = ()
) -> Verification:
    """Recompute every trial of a run that kept its attacked images.

    Raises:
        InputError: no such run, or files of it are missing or broken.
    """
    results = load_search(run_dir)
    # Refuses values that must not be shown.
    experiment, _ = load_stored(run_dir / "experiment.yaml")
    events = read(run_dir / "events.jsonl")
    if events and (note := version_note(experiment, events[0])):
        say(f"{run_dir.name}: {note}")
    found = Verification()
    for trial in results.trials.to_dict("records"):
        folder = trial_folder(run_dir, str(trial["trial_id"]))
        if not (folder / "adversarial.npz").is_file():
            found.without_images += 1
            continue
        say(f"verifying {trial['trial_id']}")
        reported = _reported(results, folder, trial)
        again = _recomputed(folder, cache_dir, allow)
        _compare(found, str(trial["trial_id"]), reported, again)
    if not found.numbers:
        raise InputError(f"{run_dir}: no trial kept attacked images; confirm and train trials do")
    return found


class _Result(Record):
    """The metrics, with any values: an impossible one is found by the comparison."""

    metrics: dict[str, float]


def _compare(found: Verification, trial_id: str, reported: Numbers, again: Numbers) -> None:
    """Count and compare what a trial reports, by names as :func:`_numbers` makes them."""
    for name, value in reported.items():
        metric = None if name.startswith(_QUERY) else known(name.removeprefix(_RESULT))
        if metric is None and not name.startswith(_QUERY):
            found.unknown.add(name.removeprefix(_RESULT))
        elif metric is not None and not metric.entry.from_images:
            found.left_out += not (name.startswith(_RESULT) or metric.entry.of_trial)
        else:
            found.numbers += 1
            recomputed = again.get(name, float("nan"))
            if not abs(recomputed - value) <= (metric.entry.tolerance if metric else _TOLERANCE):
                both = f"reported {value:.6f}, recomputed {recomputed:.6f}"
                found.wrong.append(f"{trial_id}: {name}: {both}")


def _numbers(table: Numbers, result: Numbers, queries: Iterable[tuple[int, str, float]]) -> Numbers:
    """Metrics of ``trials.parquet``, of ``result.json`` and AP per query, each by its own name."""
    return {
        **table,
        **{f"{_RESULT}{name}": value for name, value in result.items()},
        **{f"{_QUERY}{query} {attack}": ap for query, attack, ap in queries},
    }


def _reported(results: SearchResults, folder: Path, trial: dict[Any, Any]) -> Numbers:
    """What the tables and files of a trial say."""
    # Without its checksum: here every number is recomputed.
    result = read_record(folder / "result.json", _Result, verified=False)["metrics"]
    queries = results.per_query(str(trial["trial_id"]))
    rows = () if queries is None else queries[["query", "attack", "ap"]].itertuples(index=False)
    return _numbers(Phase.TEST.of(stored_metrics(trial)), Phase.TEST.of(result), rows)


def _recomputed(folder: Path, cache_dir: str | None, allow: Sequence[Path]) -> Numbers:
    """The same numbers, of what images, weights and labels give."""
    evaluation = _stored_evaluation(folder, cache_dir, allow)
    metrics = evaluation.metrics(Phase.TEST)
    queries = (
        (query, attack, value)
        for attack, (positions, ap, _) in evaluation.per_query().items()
        for query, value in zip(positions.tolist(), ap.tolist(), strict=True)
    )
    return _numbers(metrics, metrics, queries)


def _stored_evaluation(folder: Path, cache_dir: str | None, allow: Sequence[Path]) -> Evaluation:
    """The evaluation that the stored images of a trial give, if they fit its queries and ball."""
    subject = trained_subject(folder, cache_dir, allow=allow)
    victim, protocol = _victim_of(subject), subject.evaluation
    threat = ThreatModel(protocol.eps, protocol.norm)
    stored = stored_images(folder)
    if not np.array_equal(stored.pop("rows").numpy(), victim.rows):
        raise InputError(f"{folder / 'adversarial.npz'}: images of other queries")
    target_labels, query_indices = (_companions(stored, end) for end in ("_target", "_queries"))
    for name, images in stored.items():
        if images.shape != victim.images.shape:
            raise InputError(
                f"{folder / 'adversarial.npz'}: images of {name}: {tuple(images.shape)}, where "
                f"{tuple(victim.images.shape)} belongs"
            )
        size = float(threat.size(images, victim.images).max())
        if size > protocol.eps * (1 + 1e-6) + 1e-9:
            raise InputError(f"{folder}: images of {name} leave the ball: {size:.6f}")
    return evaluation_of_images(victim, threat, stored, target_labels, query_indices)


def _companions(stored: dict[str, torch.Tensor], end: str) -> dict[str, torch.Tensor]:
    """Take what belongs to attacks out of the arrays: by attack, without the ending."""
    names = [name for name in stored if name.endswith(end)]
    return {name.removesuffix(end): stored.pop(name) for name in names}


def stored_images(folder: Path) -> dict[str, torch.Tensor]:
    """``adversarial.npz`` of a trial: uint8 images by attack, ``rows``, ``ATTACK_target``."""
    arrays = read_adversarial(folder / "adversarial.npz")
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def stored_victim(folder: Path, cache_dir: str | None, allow: Sequence[Path] = ()) -> Victim:
    """The model of :func:`harness.evaluation.models.trained_subject`, and its test queries."""
    return _victim_of(trained_subject(folder, cache_dir, allow=allow))


def _victim_of(subject: Subject) -> Victim:
    protocol = subject.evaluation
    if protocol.precision != "fp32":
        raise InputError(
            f"{subject.name}: measured in {protocol.precision}, which stored images do not repeat: "
            "codes are recomputed in fp32"
        )
    return Victim(subject.network, subject.data, "test", protocol.top_k, protocol.ties)
