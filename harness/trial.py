"""One trial from end to end: pretrain or fetch, minimax training, re-attack.

Framework-free: a generator of reports that any executor can drive. A trial that is started again
in the same folder continues from its last durable epoch, to the same bits (on a CPU).
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import nn

from harness import checkpoints
from harness.artifacts import write_artifacts
from harness.config import Setting
from harness.experiment import parse_setting
from harness.files import write_json
from harness.pretrained import PretrainedStore, pretrained_key
from harness.sections import EvaluationSection, ValidationSection, to_settings
from saat import checkpoint
from saat.attacks import MainstayAttack
from saat.data import HashingData, load
from saat.defenses import DEFENSES
from saat.evaluate import Protocol, evaluate, named_attacks
from saat.hashing import OBJECTIVES
from saat.models import build_network
from saat.pretrain import Pretraining, PretrainSettings


@dataclass(frozen=True)
class TrialSpec:
    """What a worker needs to know of a trial; JSON-able.

    Attributes:
        trial_id: ``config_hash[:10]-phase-seed``.
        phase: ``explore``, ``confirm`` or ``train``.
        role: see ``docs/architecture.md``.
        number: order of suggestion.
        seed: training seed.
        setting: the resolved setting, as :meth:`harness.config.Setting.dump` gives it.
    """

    trial_id: str
    phase: str
    role: str
    number: int
    seed: int
    setting: dict[str, Any]


@dataclass(frozen=True)
class TrialContext:
    """Where and under which protocol the trials of a search run; the same for all of them."""

    run_dir: str
    pretrained_dir: str
    cache_dir: str | None
    validation: dict[str, Any]
    evaluation: dict[str, Any]
    battery: str
    device: str
    threads: int


@dataclass(frozen=True)
class EpochReport:
    """A finished, durable epoch.

    Attributes:
        epoch: from 1.
        metrics: ``val/…`` and ``train/…``.
        seconds: of this epoch, validation included.
        cost_s: seconds of work so far, pretraining the trial had to do included.
    """

    epoch: int
    metrics: dict[str, float]
    seconds: float
    cost_s: float


@dataclass(frozen=True)
class FinalReport:
    """A trial that reached its end: re-attacked, every file written.

    Attributes:
        epochs: finished minimax epochs.
        metrics: ``reattack/…`` or ``test/…``.
        cost_s: seconds of work, pretraining it had to do included.
        unreliable: a sentence per reliability gate that failed; see ``docs/reliability.md``.
    """

    epochs: int
    metrics: dict[str, float]
    cost_s: float
    unreliable: list[str] = field(default_factory=list)


Status = Callable[[str], None]


def trial_folder(context: TrialContext, trial_id: str) -> Path:
    """Where everything of a trial lies."""
    return Path(context.run_dir) / "trials" / trial_id


def trial_data(
    setting: Setting, cache_dir: str | None, progress: Callable[[int, int], None] | None = None
) -> HashingData:
    """The data set of a setting, opened once per process.

    Args:
        setting: its ``data`` section counts.
        cache_dir: node-local cache; None for the default.
        progress: called with (images decoded, images in all) if they are not decoded yet.
    """
    key = (setting.data.model_dump_json(), cache_dir)
    if key not in _OPENED:
        _OPENED.clear()  # a worker of a search sees one data set
        cache = Path(cache_dir) if cache_dir else None
        _OPENED[key] = load(**setting.data.model_dump(), cache_dir=cache, progress=progress)
    return _OPENED[key]


_OPENED: dict[tuple[str, str | None], HashingData] = {}


def run_trial(
    spec: TrialSpec, context: TrialContext, status: Status | None = None
) -> Iterator[EpochReport | FinalReport]:
    """Run or continue a trial.

    Args:
        spec: the trial.
        context: folders, protocol, device.
        status: called with a short line on what is happening.

    Yields:
        Every epoch in order, those of an earlier life of the trial included, then the end.

    Raises:
        saat.training.TrainingFailed: a loss that is not finite.
        OSError: the disk is full; what was finished stays.
    """
    folder = trial_folder(context, spec.trial_id)
    folder.mkdir(parents=True, exist_ok=True)
    # The worker of a driver that was killed may live on for a moment: one writer at a time.
    with FileLock(folder / ".lock"):
        result = folder / "result.json"
        if result.exists():
            content = json.loads(result.read_text())
            yield from (EpochReport(**record) for record in content.pop("history"))
            yield FinalReport(**content)
        else:
            yield from _Trial(spec, context, status or (lambda _: None)).run()


class _Trial:
    """The state that the stages of one trial hand on."""

    def __init__(self, spec: TrialSpec, context: TrialContext, say: Status) -> None:
        torch.set_num_threads(context.threads)
        self.spec, self.context, self.say = spec, context, say
        self.folder = trial_folder(context, spec.trial_id)
        write_json(self.folder / "config.json", asdict(spec))
        self.setting = parse_setting(spec.setting)
        say("data")
        self.data = trial_data(self.setting, context.cache_dir)
        model = self.setting.model
        image_size = self.setting.data.image_size
        labels = self.data.label_tensor(self.data.train)
        device = torch.device(context.device)
        self.network = build_network(
            model.backbone, model.weights, model.bits, image_size, spec.seed
        ).to(device)
        self.defended: nn.Module = self.network
        self.objective = OBJECTIVES[model.hashing](labels, model.bits, spec.seed).to(device)
        self.pretrain_s = 0.0

    def run(self) -> Iterator[EpochReport | FinalReport]:
        """Pretraining, epochs, end."""
        store = PretrainedStore(Path(self.context.pretrained_dir))
        key = pretrained_key(self.setting, self.data.fingerprint, self.spec.seed)
        self.say("pretrained model")
        self.pretrain_s = store.fetch(
            key, self.network, self.objective, self._pretrain, self.spec.trial_id
        )
        history: list[EpochReport] = []
        for report in self._minimax():
            history.append(report)
            yield report
        yield self._reattack(history)

    def _pretrain(self, folder: Path) -> float:
        settings = to_settings(PretrainSettings, self.setting.pretrain)
        training = Pretraining(self.network, self.objective, self.data, settings, self.spec.seed)
        meta = checkpoints.restore_newest(training, folder)
        seconds = float(meta["seconds"]) if meta else 0.0
        while not training.finished:
            started = time.monotonic()
            training.run_epoch(self._batches("pretrain", training.epoch, settings.epochs))
            seconds += time.monotonic() - started
            checkpoints.write(training, folder, {"seconds": seconds})
        checkpoints.forget(folder)
        return seconds

    def _minimax(self) -> Iterator[EpochReport]:
        """Epochs of adversarial training; each is durable before it is yielded."""
        method = self.setting.defense.model_dump()["method"]
        if method == "none":
            return
        entry = DEFENSES[method]
        settings = to_settings(entry.settings, self.setting.defense)
        training = entry.training(self.network, self.objective, self.data, settings, self.spec.seed)
        self.defended = training.defended
        folder = self.folder / "checkpoint"
        meta = checkpoints.restore_newest(training, folder) or {"history": []}
        history = [EpochReport(**record) for record in meta["history"]]
        yield from history
        while not training.finished:
            started = time.monotonic()
            metrics = training.run_epoch(self._batches(method, training.epoch, settings.epochs))
            metrics |= self._validate()
            seconds = time.monotonic() - started
            cost = (history[-1].cost_s if history else self.pretrain_s) + seconds
            history.append(EpochReport(training.epoch, metrics, seconds, cost))
            records = [asdict(report) for report in history]
            checkpoints.write(training, folder, {"history": records})
            lines = "".join(json.dumps(record) + "\n" for record in records)
            (self.folder / "epochs.jsonl").write_text(lines)
            yield history[-1]

    def _validate(self) -> dict[str, float]:
        """Clean MAP and robust MAP under the short attack, on validation queries."""
        section = self.context.validation
        validation = ValidationSection.model_validate(section)
        attack = MainstayAttack(steps=validation.steps, rescale=True)
        protocol = self._protocol(Protocol({"mainstay": attack}, eps=validation.eps))
        result = evaluate(
            self.defended, self.data, protocol, "validation", self.spec.seed, validation.queries
        ).metrics()
        return {
            "val/clean_map": result["clean_map"],
            "val/robust_map": result["robust_map"],
            "val/zero_grad": result["zero_grad.mainstay"],
        }

    def _protocol(self, protocol: Protocol) -> Protocol:
        """The ranking of the experiment's evaluation, so that all numbers mean the same."""
        ranking = EvaluationSection.model_validate(self.context.evaluation)
        return replace(protocol, top_k=ranking.top_k, ties=ranking.ties)

    def _reattack(self, history: list[EpochReport]) -> FinalReport:
        """The full protocol: validation queries while exploring, test queries otherwise."""
        started = time.monotonic()
        explore = self.spec.phase == "explore"
        evaluation = evaluate(
            self.defended,
            self.data,
            full_protocol(self.context.evaluation),
            "validation" if explore else "test",
            self.spec.seed,
            progress=lambda name, done, count: self.say(f"attack {name} {done}/{count}"),
            battery=None if explore or self.context.battery == "none" else self.context.battery,
            store=self.folder / "attacked",
        )
        self._save_model()
        write_artifacts(self.folder, evaluation, self.data, images=not explore)
        cost = history[-1].cost_s if history else self.pretrain_s
        cost += time.monotonic() - started
        prefix = "reattack" if explore else "test"
        metrics = {f"{prefix}/{name}": value for name, value in evaluation.metrics().items()}
        final = FinalReport(len(history), metrics, cost, evaluation.unreliable)
        records = [asdict(report) for report in history]
        write_json(self.folder / "result.json", {**asdict(final), "history": records})
        checkpoints.forget(self.folder / "checkpoint")
        shutil.rmtree(self.folder / "attacked", ignore_errors=True)
        return final

    def _save_model(self) -> None:
        meta = {
            **asdict(self.spec),
            "data_fingerprint": self.data.fingerprint,
            "classes": self.data.classes,
            "dataset": self.data.label,
            "lists_sha256": dict(self.data.lists_sha256),
            "evaluation": self.context.evaluation,
        }
        tensors = checkpoint.module_tensors("network", self.defended)
        checkpoint.save(self.folder / "model.safetensors", tensors, meta)

    def _batches(self, stage: str, epoch: int, epochs: int) -> Callable[[int, int], None]:
        return lambda done, count: self.say(f"{stage} epoch {epoch + 1}/{epochs} {done}/{count}")


def full_protocol(section: dict[str, Any]) -> Protocol:
    """The experiment's ``evaluation`` section as a protocol."""
    checked = EvaluationSection.model_validate(section)
    return Protocol(
        named_attacks(checked.attacks, checked.steps, checked.options),
        checked.eps,
        checked.top_k,
        checked.ties,
        checked.norm,
        checked.target_seed,
    )
