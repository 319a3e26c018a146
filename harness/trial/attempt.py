"""One attempt at a trial, from its last checkpoint: pretrained model, epochs, re-attack.

Epochs are reported before they are durable (:class:`saat.checkpoints.CheckpointWriter`). The next
attempt repeats those that are not, to the same bits (on a CPU), and whoever was told ignores them.
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
from harness.trial import defended, out_of_memory
from harness.trial.artifacts import write_artifacts
from harness.trial.compute import bound_threads, compute_of_trial
from harness.trial.interface import (
    EpochReport,
    FinalReport,
    TrialContext,
    TrialSpec,
    trial_folder,
)
from harness.trial.lease import Lease
from harness.trial.pretrained import Pretrained, fetch_pretrained, pretrained_key
from harness.trial.records import write_record
from harness.trial.stages import adversarial_training, build_models, pretraining, trial_data
from saat import checkpoints, memory, stopwatch, tensor_file
from saat.errors import InputError
from saat.evaluation import Evaluation
from saat.hashing import HashingObjective
from saat.metrics import Phase
from saat.models import HashingNetwork
from saat.protocol import evaluate, validate
from saat.stopwatch import Stage, stage
from saat.training import Training

# Batteries that try images made on the model before its defense.
TRANSFERRING = ("full", "exhaustive")

Status = Callable[[str], None]


class TrialAttempt:
    """The state that the stages of one attempt hand on.

    It holds the ``lease`` on the trial's folder. Batches are ``split`` if memory ran out before.
    """

    def __init__(
        self, spec: TrialSpec, context: TrialContext, say: Status, lease: Lease, split: bool
    ) -> None:
        bound_threads(context.resources.cpus_per_trial)
        if context.gpu_share < 1:
            memory.limit_share(torch.device(context.device), context.gpu_share)
        self.spec, self.context, self.say, self.lease = spec, context, say, lease
        self.split = split
        self.watch = stopwatch.start()
        self.folder = trial_folder(context, spec.trial_id)
        write_json(self.folder / "config.json", spec.dump())
        self.config = spec.config
        self.device = torch.device(context.device)
        self.compute = compute_of_trial(self.folder, context)
        self.compiled = self.compute.used(None)
        say("data")
        with stage(Stage.DECODE):
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
        if Stage.PRETRAINING not in self.watch.seconds:  # an earlier attempt trained it, or another
            self.watch.add(Stage.PRETRAINING, self.pretrained.seconds)
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
        self.watch.add(Stage.PRETRAINING, done.seconds)
        every = self.context.resources.checkpoint_seconds
        with checkpoints.CheckpointWriter(folder, every, check) as writer:
            while not training.finished:
                started = time.monotonic()
                with self.compute.running(self.device):
                    training.run_epoch(self._batches(training))
                done = replace(done, seconds=done.seconds + time.monotonic() - started)
                writer.finish_epoch(training, asdict(done))
                writer.go_on(training, asdict(done))
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
        stored = defended.stored_training(
            self.spec, self.context, self.data.fingerprint, self.compute.precision
        )
        defended.fetch(stored, folder)
        meta, note = self._restored(training, folder)
        self.history = [EpochReport(**record) for record in meta.get("history", [])]
        yield from self.history
        if self.history:  # its first report has it already
            self.watch.seconds.pop(Stage.PRETRAINING, None)
        host, notes = socket.gethostname(), self._notes(note)
        self.compiled = self.compute.used(training)
        every = self.context.resources.checkpoint_seconds
        with checkpoints.CheckpointWriter(folder, every, self.lease.check) as writer:
            while not training.finished:
                started, spent = time.monotonic(), self._spent
                with self.compute.running(self.device):
                    metrics = training.run_epoch(self._batches(training))
                epoch, epochs = training.epoch, training.settings.epochs
                if self.context.validation.is_due(epoch, epochs, self.context.deciding_epochs):
                    with stage(Stage.VALIDATION):
                        evaluation = self._validate(training)
                    metrics |= Phase.VALIDATION.keyed(evaluation.metrics(Phase.VALIDATION))
                    chance = {"chance_map": float(evaluation.chance_ap.mean())}
                    metrics |= training.judge(metrics | Phase.VALIDATION.keyed(chance))
                seconds = time.monotonic() - started
                cost, stages = spent + seconds, self.watch.lap()
                work = (host, notes, stages)
                report = EpochReport(epoch, metrics, seconds, cost, *work, **self._computed)
                self.history.append(report)
                kept = {"history": [asdict(r) for r in self.history], "out_of_memory": note}
                writer.finish_epoch(training, kept)
                yield report
                writer.go_on(training, kept)
        defended.keep(folder, stored)
        training.conclude()

    @property
    def _spent(self) -> float:
        """Seconds of work so far, as last reported."""
        return self.history[-1].cost_s if self.history else self.pretrained.seconds

    @property
    def _computed(self) -> dict[str, Any]:
        """The precision of the training, and what of it was compiled."""
        return {"precision": self.compute.precision, "compile": self.compiled}

    def _validate(self, training: Training) -> Evaluation:
        """Clean MAP and robust MAP under the short attack, on validation queries."""
        short, rows = self.context.validation, len(self.data.validation_database)
        protocol = validation_protocol(short, self.context.evaluation, rows)
        searched, train_codes = None, None
        if short.database != "all":
            searched = self.data.validation_part(short.part_of(rows))
            train_codes = training.train_codes()
        return validate(
            self.defended, self.data, protocol, searched, train_codes, self.spec.seed, short.queries
        )

    def _reattack(self) -> FinalReport:
        """The full protocol: validation queries while exploring, test queries otherwise."""
        started = time.monotonic()
        self.training = None
        explore = self.spec.phase == "explore"
        with stage(Stage.REATTACK):
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
        with stage(Stage.FILES):
            self._save_model()
            write_artifacts(self.folder, evaluation, self.data, images=not explore)
        cost = self._spent + time.monotonic() - started
        phase = Phase.REATTACK if explore else Phase.TEST
        with stage(Stage.REATTACK):
            metrics = phase.keyed(evaluation.metrics(phase))
        notes = self.history[-1].out_of_memory if self.history else self._notes("")
        stages = stopwatch.total(self.watch.lap(), *(report.stages for report in self.history))
        work = (evaluation.unreliable, socket.gethostname(), notes, stages)
        final = FinalReport(len(self.history), metrics, cost, *work, **self._computed)
        record = {**asdict(final), "history": [asdict(report) for report in self.history]}
        write_record(self.folder / "result.json", record)
        checkpoints.delete(checkpoints.folder_of(self.folder))
        shutil.rmtree(self.folder / "attacked", ignore_errors=True)
        return final

    def _sources(self) -> dict[str, nn.Module]:
        """For the larger batteries the model before its defense, whose images are tried on it."""
        undefended = self.config.method == "none"
        if self.spec.phase == "explore" or self.context.battery not in TRANSFERRING or undefended:
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
            "compute": self._computed,
        }
        tensors = tensor_file.prefixed("network", self.defended.state_dict())
        tensor_file.save(self.folder / "model.safetensors", tensors, meta)

    def _notes(self, note: str) -> list[str]:
        return [text for text in (self.pretrained.out_of_memory, note) if text]

    def _batches(self, training: Training) -> Callable[[int, int], None]:
        where = f"{training.stage} epoch {training.epoch + 1}/{training.settings.epochs}"
        return lambda done, count: self.say(f"{where} {done}/{count}")
