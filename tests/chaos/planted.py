"""``saat`` with faults planted in its process: a loss that is no number, callbacks that raise.

``python -m tests.chaos.planted FOLDER RUN_DIR SITE:CALL[,SITE:CALL…] ARGUMENTS``: the fault
strikes in the CALL-th call of its site, counted over all lives of the driver, and notes itself in
FOLDER. The product has no switches for this; what is patched here is patched in this process only.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.chaos.seen import look


class Planted(RuntimeError):
    """What a planted callback raises."""


class Count:
    """Calls of a site, over all lives of the driver."""

    def __init__(self, folder: Path, run_dir: Path, site: str, call: int) -> None:
        self._folder, self._run_dir, self._site, self._call = folder, run_dir, site, call

    def due(self) -> bool:
        """Count a call; whether the fault strikes in it, which it notes first."""
        with (self._folder / f"calls-{self._site}").open("ab") as file:
            file.write(b".")
            number = file.tell()
        if number != self._call:
            return False
        struck = {
            "kind": KINDS[self._site],
            "moment": f"call {self._call} of {self._site}",
            "at": time.time(),
            "seen": asdict(look(self._run_dir)),
        }
        (self._folder / f"struck-{self._site}.json").write_text(json.dumps(struck))
        return True


def plant_nan(count: Count) -> None:
    """A weight of the network becomes NaN before an epoch of minimax training."""
    import torch

    from saat.pretrain import Pretraining
    from saat.training import Training

    run_epoch = Training.run_epoch

    def poisoned(training: Training, *arguments: Any) -> dict[str, float]:
        if not isinstance(training, Pretraining) and count.due():
            with torch.no_grad():
                next(iter(training.network.parameters())).fill_(float("nan"))
        return run_epoch(training, *arguments)

    Training.run_epoch = poisoned  # type: ignore[assignment,method-assign]


def raising(before: Callable[..., Any], count: Count, for_ever: bool) -> Callable[..., Any]:
    """``before``, but for a call, or from a call on, that raises."""
    struck = False

    def call(*arguments: Any, **options: Any) -> Any:
        nonlocal struck
        due = count.due()
        struck = struck or due
        if due or (for_ever and struck):
            raise Planted("planted in a callback")
        return before(*arguments, **options)

    return call


def plant_progress(count: Count) -> None:
    """The progress view breaks and stays broken."""
    from harness.session.progress import Progress

    Progress.handle = raising(Progress.handle, count, True)  # type: ignore[method-assign]


def plant_status(count: Count) -> None:
    """What shows the status of a trial breaks and stays broken."""
    from harness.session.progress import Progress

    Progress.status = raising(Progress.status, count, True)  # type: ignore[method-assign]


def plant_delivery(count: Count) -> None:
    """The tracker's thread meets an error of its own in the middle of an event, once."""
    from mlflow import MlflowClient

    MlflowClient.log_batch = raising(MlflowClient.log_batch, count, False)  # type: ignore[method-assign]


SITES: dict[str, Callable[[Count], None]] = {
    "nan": plant_nan,
    "progress": plant_progress,
    "status": plant_status,
    "delivery": plant_delivery,
}
KINDS = {
    "nan": "NaN loss",
    "progress": "exception in a callback",
    "status": "exception in a callback",
    "delivery": "exception in a callback",
}


def main() -> None:
    """Plant, then be ``saat``."""
    folder, run_dir, plants, *arguments = sys.argv[1:]
    for plant in plants.split(","):
        site, _, call = plant.partition(":")
        SITES[site](Count(Path(folder), Path(run_dir), site, int(call)))
    from harness.__main__ import main as saat

    saat(arguments)


if __name__ == "__main__":
    main()
