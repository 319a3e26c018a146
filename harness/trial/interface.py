"""What a driver tells its workers, and what they report.

Tasks cross the boundary between processes as JSON: :func:`encode` there, :func:`decode` here.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from harness.experiment.config import TrialConfig
from harness.experiment.section import parsed
from harness.experiment.sections import EvaluationSection, ValidationSection
from reports import run_folder
from saat.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class TrialSpec:
    """What a worker needs to know of a trial.

    Attributes:
        trial_id: ``config_hash[:10]-phase-seed``.
        phase: ``explore``, ``confirm`` or ``train``.
        role: see ``docs/architecture.md``.
        number: order of suggestion.
        seed: training seed.
        config: what it trains.
    """

    trial_id: str
    phase: str
    role: str
    number: int
    seed: int
    config: TrialConfig

    def dump(self) -> dict[str, Any]:
        """As journals, ``config.json`` and checkpoints hold it: JSON-able."""
        rest = {key: value for key, value in vars(self).items() if value is not self.config}
        return {**rest, "setting": self.config.dump()}

    @classmethod
    def of(cls, stored: dict[str, Any]) -> "TrialSpec":
        """What :meth:`dump` gave, of a journal for example.

        Raises:
            InputError: the setting is none.
            TypeError: other keys.
        """
        try:
            config = parsed(TrialConfig, stored.get("setting"))
        except InputError as error:
            raise InputError(f"{stored.get('trial_id')}: {error}") from None
        return cls(config=config, **{k: v for k, v in stored.items() if k != "setting"})


@dataclass(frozen=True)
class TrialContext:
    """Where and under which protocol the trials of a search run; the same for all of them.

    Attributes:
        threads: of a trial, in every pool.
        gpu_share: of its GPU's memory that a trial may take; 1 where it has the GPU to itself.
        data_fingerprint: of the driver's data set, which every worker must have; any if empty.
    """

    run_dir: str
    pretrained_dir: str
    cache_dir: str | None
    validation: ValidationSection
    evaluation: EvaluationSection
    battery: str
    device: str
    threads: int
    gpu_share: float = 1.0
    data_fingerprint: str = ""


def encode(task: Any) -> str:
    """A task for another process: a spec, a context or a part of an experiment."""
    return TypeAdapter(type(task)).dump_json(task).decode()


def decode(kind: type[T], text: str) -> T:
    """What :func:`encode` was given, as it was there."""
    return TypeAdapter(kind).validate_json(text)


def trial_folder(context: TrialContext, trial_id: str) -> Path:
    """Where everything of a trial lies; see :func:`reports.run_folder.trial_folder`."""
    return run_folder.trial_folder(Path(context.run_dir), trial_id)


@dataclass(frozen=True)
class EpochReport:
    """A finished, durable epoch.

    Attributes:
        epoch: from 1.
        metrics: ``val/…`` and ``train/…``.
        seconds: of this epoch, validation included.
        cost_s: seconds of work so far, pretraining the trial had to do included.
        host: name of the machine that trained it.
        out_of_memory: a sentence per stage whose batches were split because memory had run out;
            its numbers are not those of whole batches.
    """

    epoch: int
    metrics: dict[str, float]
    seconds: float
    cost_s: float
    host: str = ""
    out_of_memory: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FinalReport:
    """A trial that reached its end: re-attacked, every file written.

    Attributes:
        epochs: finished minimax epochs.
        metrics: ``reattack/…`` or ``test/…``.
        cost_s: seconds of work, pretraining it had to do included.
        unreliable: a sentence per reliability gate that failed; see ``docs/reliability.md``.
        host: name of the machine that re-attacked it.
        out_of_memory: see :class:`EpochReport`.
    """

    epochs: int
    metrics: dict[str, float]
    cost_s: float
    unreliable: list[str] = field(default_factory=list)
    host: str = ""
    out_of_memory: list[str] = field(default_factory=list)
