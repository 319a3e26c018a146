"""Types that a driver sends to its workers, and those that the workers report."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.experiment.config import TrialConfig
from harness.experiment.section import parsed
from harness.experiment.sections import EvaluationSection, ResourcesSection, ValidationSection
from harness.trial.records import Count, Metrics, Seconds, StageSeconds
from reports import run_folder
from saat.compute import Compile
from saat.errors import InputError
from saat.precision import Precision


@dataclass(frozen=True)
class TrialSpec:
    """What a worker needs to know of a trial; ``docs/architecture.md`` describes the fields."""

    trial_id: str
    phase: str
    role: str
    number: int
    seed: int
    config: TrialConfig

    def dump(self) -> dict[str, Any]:
        """The JSON-able form that journals, ``config.json`` and checkpoints store."""
        rest = {key: value for key, value in vars(self).items() if value is not self.config}
        return {**rest, "setting": self.config.dump()}

    @classmethod
    def of(cls, stored: dict[str, Any]) -> "TrialSpec":
        """The inverse of :meth:`dump`.

        Raises:
            InputError: the setting is not valid.
            TypeError: there are other keys.
        """
        try:
            config = parsed(TrialConfig, stored.get("setting"))
        except InputError as error:
            raise InputError(f"{stored.get('trial_id')}: {error}") from None
        return cls(config=config, **{k: v for k, v in stored.items() if k != "setting"})


@dataclass(frozen=True)
class TrialContext:
    """Where and under which protocol the trials of a search run; the same for all of them."""

    run_dir: str
    pretrained_dir: str
    cache_dir: str | None
    validation: ValidationSection
    evaluation: EvaluationSection
    resources: ResourcesSection
    battery: str
    device: str
    gpu_share: float = 1.0  # of its GPU's memory that a trial may take; 1: it has the GPU alone
    deciding_epochs: tuple[int, ...] = ()  # validated whatever validation.every says
    data_fingerprint: str = ""  # of the data set that every worker must have; "" allows any
    share_trainings: bool = False  # see harness.trial.defended


def trial_folder(context: TrialContext, trial_id: str) -> Path:
    """The folder of a trial; see :func:`reports.run_folder.trial_folder`."""
    return run_folder.trial_folder(Path(context.run_dir), trial_id)


@dataclass(frozen=True)
class EpochReport:
    """A finished epoch; a trial that is taken up again may repeat it, to the same numbers."""

    epoch: Count  # from 1
    metrics: Metrics  # train/…, and val/… if it was validated
    seconds: Seconds  # of this epoch, validation included
    cost_s: Seconds  # of work so far, pretraining that the trial had to do included
    host: str = ""  # the machine that trained it
    # One sentence for each stage whose batches were split because memory had run out. Split batches
    # give other numbers than whole ones.
    out_of_memory: list[str] = field(default_factory=list)
    stages: StageSeconds = field(default_factory=dict)  # since the report before
    precision: Precision | Literal[""] = ""  # of the training; empty in reports of earlier versions
    compile: Compile | Literal[""] = ""  # what of it was compiled; see saat.compute


@dataclass(frozen=True)
class FinalReport:
    """A trial that reached its end: re-attacked, every file written."""

    epochs: Count  # of adversarial training
    metrics: Metrics  # reattack/… or test/…
    cost_s: Seconds  # of work, pretraining that the trial had to do included
    # A sentence per reliability gate that failed; see docs/reliability.md.
    unreliable: list[str] = field(default_factory=list)
    host: str = ""  # the machine that re-attacked it
    out_of_memory: list[str] = field(default_factory=list)  # as in the reports of its epochs
    stages: StageSeconds = field(default_factory=dict)  # of the whole trial
    precision: Precision | Literal[""] = ""
    compile: Compile | Literal[""] = ""
