"""One attempt at a trial, from where the last one ended: pretrained model, epochs, re-attack.

What is finished is durable before it is reported.
"""

import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from harness.experiment.protocols import full_protocol, validation_protocol
from harness.files import write_json
from harness.trial import out_of_memory
from harness.trial.artifacts import write_artifacts
from harness.trial.compute import compute_of_trial
from harness.trial.interface import EpochReport, FinalReport, TrialContext, TrialSpec, trial_folder
from harness.trial.lease import Lease
from harness.trial.pretrained import Pretrained, fetch_pretrained, pretrained_key
from harness.trial.records import write_record
from harness.trial.stages import adversarial_training, build_models, pretraining, trial_data
from harness.trial.threads import bound_threads
from saat import checkpoints, memory, tensor_file
from saat.compute import Compile
from saat.errors import InputError
from saat.hashing import HashingObjective
from saat.metrics import Phase
from saat.models import HashingNetwork
from saat.precision import Precision
from saat.protocol import evaluate
from saat.training import Training

Status = Callable[[str], None]


class TrialAttempt:
    """The state that the stages of one attempt hand on.

    It holds the ``lease`` on the trial's folder. Batches are ``split`` if memory ran out before.
    """

    def __init__(
        self, spec: TrialSpec, context: TrialContext, say: Status, lease: Lease, split: bool
    ) -> None:
        bound_threads(context.threads)
        if context.gpu_share < 1:
            memory.limit_share(torch.device(context.device), context.gpu_share)
        self.spec, self.context, self.say, self.lease = spec, context, say, lease
        self.split = split
        self.folder = trial_folder(context, spec.trial_id)
        write_json(self.folder / "config.json", spec.dump())
        self.config = spec.config
        self.device = torch.device(context.device)
        self.compute = compute_of_trial(self.folder, context)
        self.compiled = self.compute.used(None)
        say("data")
        self.data = trial_data(self.config, context.cache_dir)
        if context.data_fingerprint not in ("", self.data.fingerprint):
            raise InputError(
                f"data: the images or lists on {socket.gethostname()} are not the driver's; the "
                "same files, and the same version of Pillow, must be on every node"
            )
        self.network, self.objective = build_models(
            self.config, self.data, spec.seed, context.device
        )
        self.compute.prepare(self.network)
        self.defended: nn.Module = self.network
        self.pretrained = Pretrained(0.0)
        self.history: list[EpochReport] = []
        self.training: Training | None = None  # what is under way

    def run(self) -> Iterator[EpochReport | FinalReport]:
        """Reports of the epochs, those of earlier attempts included, and of the end."""
        self.say("pretrained model")
        self.pretrained = self._fetch(self.network, self.objective)
        yield from self._minimax()
        yield self._reattack()

    def _fetch(self, network: HashingNetwork, objective: HashingObjective) -> Pretrained:
        key = pretrained_key(
            self.config, self.data.fingerprint, self.spec.seed, self.compute.precision
        )
        folder = Path(self.context.pretrained_dir) / key
        build = partial(self._pretrain, network, objective)
        return fetch_pretrained(folder, network, objective, build, self.spec.trial_id)

    def _pretrain(
        self,
        network: HashingNetwork,
        objective: HashingObjective,
        folder: Path,
        check: Callable[[], None],
    ) -> Pretrained:
        training = pretraining(self.config, network, objective, self.data, self.spec.seed)
        meta, note = self._restored(training, folder)
        done = Pretrained(float(meta.get("seconds", 0.0)), note)
        while not training.finished:
            started = time.monotonic()
            with self.compute.running(self.device):
                training.run_epoch(self._batches(training))
            done = replace(done, seconds=done.seconds + time.monotonic() - started)
            check()
            checkpoints.write(training, folder, asdict(done))
        return done

    def _restored(self, training: Training, folder: Path) -> tuple[dict[str, Any], str]:
        """Continue from the newest checkpoint: its meta, and the note on split batches."""
        self.training = training
        meta = checkpoints.restore_newest(training, folder) or {}
        note = meta.get("out_of_memory", "")
        return meta, out_of_memory.split(training, note) if self.split else note

    def _minimax(self) -> Iterator[EpochReport]:
        with self.compute.running(self.device):
            training = adversarial_training(
                self.config, self.network, self.objective, self.data, self.spec.seed
            )
        if training is None:
            return
        self.compute.apply(training)
        self.defended = training.defended
        folder = checkpoints.folder_of(self.folder)
        meta, note = self._restored(training, folder)
        self.history = [EpochReport(**record) for record in meta.get("history", [])]
        yield from self.history
        host, notes = socket.gethostname(), self._notes(note)
        self.compiled = self.compute.used(training)
        while not training.finished:
            started, spent = time.monotonic(), self._spent
            with self.compute.running(self.device):
                metrics = training.run_epoch(self._batches(training))
            metrics |= self._validate()
            seconds = time.monotonic() - started
            report = EpochReport(
                training.epoch, metrics, seconds, spent + seconds, host, notes, *self._computed
            )
            self.history.append(report)
            self.lease.check()
            records = [asdict(report) for report in self.history]
            checkpoints.write(training, folder, {"history": records, "out_of_memory": note})
            yield report

    @property
    def _spent(self) -> float:
        """Seconds of work so far, as last reported."""
        return self.history[-1].cost_s if self.history else self.pretrained.seconds

    @property
    def _computed(self) -> tuple[Precision, Compile]:
        """The precision of the training, and what of it was compiled."""
        return self.compute.precision, self.compiled

    def _validate(self) -> dict[str, float]:
        """Clean MAP and robust MAP under the short attack, on validation queries."""
        short = self.context.validation
        protocol = validation_protocol(short, self.context.evaluation)
        evaluation = evaluate(
            self.defended, self.data, protocol, "validation", self.spec.seed, short.queries
        )
        return Phase.VALIDATION.keyed(evaluation.metrics(Phase.VALIDATION))

    def _reattack(self) -> FinalReport:
        """The full protocol: validation queries while exploring, test queries otherwise."""
        started = time.monotonic()
        self.training = None
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
            sources=self._sources(),
        )
        self.lease.check()
        self._save_model()
        write_artifacts(self.folder, evaluation, self.data, images=not explore)
        cost = self._spent + time.monotonic() - started
        phase = Phase.REATTACK if explore else Phase.TEST
        metrics = phase.keyed(evaluation.metrics(phase))
        host, epochs = socket.gethostname(), len(self.history)
        notes = self.history[-1].out_of_memory if self.history else self._notes("")
        final = FinalReport(
            epochs, metrics, cost, evaluation.unreliable, host, notes, *self._computed
        )
        records = [asdict(report) for report in self.history]
        write_record(self.folder / "result.json", {**asdict(final), "history": records})
        checkpoints.delete(checkpoints.folder_of(self.folder))
        shutil.rmtree(self.folder / "attacked", ignore_errors=True)
        return final

    def _sources(self) -> dict[str, nn.Module]:
        """For the full battery the model before its defense, whose images are tried on it."""
        undefended = self.config.method == "none"
        if self.spec.phase == "explore" or self.context.battery != "full" or undefended:
            return {}
        fresh = build_models(self.config, self.data, self.spec.seed, self.context.device)
        self._fetch(*fresh)
        return {"undefended": fresh[0]}

    def _save_model(self) -> None:
        meta = {
            **self.spec.dump(),
            "data_fingerprint": self.data.fingerprint,
            "classes": self.data.classes,
            "dataset": self.data.label,
            "lists_sha256": dict(self.data.lists_sha256),
            "evaluation": self.context.evaluation.model_dump(),
            "compute": dict(zip(("precision", "compile"), self._computed, strict=True)),
        }
        tensors = tensor_file.module_tensors("network", self.defended)
        tensor_file.save(self.folder / "model.safetensors", tensors, meta)

    def _notes(self, note: str) -> list[str]:
        return [text for text in (self.pretrained.out_of_memory, note) if text]

    def _batches(self, training: Training) -> Callable[[int, int], None]:
        where = f"{training.stage} epoch {training.epoch + 1}/{training.settings.epochs}"
        return lambda done, count: self.say(f"{where} {done}/{count}")
