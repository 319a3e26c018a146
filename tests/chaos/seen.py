"""What a search has on the disk at a moment: what no fault may take from it."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saat import tensor_file

Metrics = dict[str, float]


@dataclass(frozen=True)
class Seen:
    """Lines of the journal, and the durable epochs of trials, journaled or not yet."""

    lines: list[str]
    epochs: dict[str, dict[str, Metrics]]  # trial → epoch, as JSON has it → metrics

    @property
    def ended(self) -> int:
        """Trials that the journal knows to have ended."""
        kinds = [json.loads(line) for line in self.lines]
        return sum(e["event"] in ("completed", "failed") or "stop_reason" in e for e in kinds)

    @property
    def finished_epochs(self) -> int:
        """Epochs in the journal or durable."""
        events = [json.loads(line) for line in self.lines]
        journaled = {(e["trial_id"], str(e["epoch"])) for e in events if e["event"] == "epoch"}
        return len(journaled | {(t, e) for t, epochs in self.epochs.items() for e in epochs})


def look(run_dir: Path) -> Seen:
    """What is there now; half a line is not there yet."""
    journal = run_dir / "events.jsonl"
    epochs = {
        folder.name: {str(record["epoch"]): record["metrics"] for record in _durable_epochs(folder)}
        for folder in run_dir.glob("trials/*")
    }
    return Seen(_whole_lines(journal), epochs)


def _durable_epochs(folder: Path) -> list[dict[str, Any]]:
    """The epochs of a trial: from its result, else from its newest intact checkpoint."""
    return next(_histories(folder), [])


def _histories(folder: Path) -> Iterator[list[dict[str, Any]]]:
    with suppress(FileNotFoundError, ValueError):
        yield json.loads((folder / "result.json").read_text())["history"]
    for path in sorted(folder.glob("checkpoint/epoch-*.safetensors"), reverse=True):
        with suppress(FileNotFoundError, tensor_file.CorruptFile):
            yield tensor_file.load(path)[1]["history"]


def _whole_lines(path: Path) -> list[str]:
    with suppress(FileNotFoundError):
        content = path.read_bytes()
        return content[: content.rfind(b"\n") + 1].decode().splitlines()
    return []


def lost(seen: Seen, now: Seen) -> tuple[int, int]:
    """(epochs, trials) that were finished in ``seen`` and are not, or are others, in ``now``."""
    kept = set(now.lines)
    gone = [json.loads(line) for line in seen.lines if line not in kept]
    trials = sum(e["event"] in ("completed", "failed") or "stop_reason" in e for e in gone)
    epochs = {(e["trial_id"], e["epoch"]) for e in gone if e["event"] == "epoch"}
    events = [json.loads(line) for line in now.lines]
    told = {(e["trial_id"], e["epoch"]): e["metrics"] for e in events if e["event"] == "epoch"}
    for trial_id, durable in seen.epochs.items():
        for epoch, metrics in durable.items():
            if told.get((trial_id, int(epoch))) != metrics:
                epochs.add((trial_id, int(epoch)))
    return len(epochs), trials
