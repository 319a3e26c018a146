"""Searches without training: reports that are a function of the setting alone."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.experiment.config import Experiment
from harness.journal.journal import Event, Journal, line_of
from harness.journal.state import TrialRecord
from harness.search.plan import deciding_epochs
from harness.search.search import Pause, Search
from harness.trial.interface import EpochReport, FinalReport, TrialSpec
from saat.seeding import derive_seed
from tests.harness.tiny import tiny

FINGERPRINT = "data"
STARTED: dict[str, Any] = {
    "search_id": "id",
    "executor": "inline",
    "tracking_uri": None,
    "device": "cpu",
    "data_fingerprint": FINGERPRINT,
    "protocol_hash": "protocol",
}
SPACE: dict[str, Any] = {
    "model.bits": {"choice": [16, 32]},
    "defense.lambda": {"float": [0.1, 10.0], "log": True},
    "defense.eps": {"float": ["2/255", "16/255"]},
    "defense.steps": {"int": [1, 10]},
}


class Broken(Exception):
    """A trial that cannot go on."""


def experiment(**changes: Any) -> Experiment:
    """A search over the fake; ``search__sampler="tpe"`` sets ``search.sampler``."""
    plain = {
        "space": SPACE,
        "defense.epochs": 4,
        "search.num_samples": 7,
        "search.sampler": "tpe",
        "confirm.max_configs": 2,
        "confirm.seeds": 2,
    }
    return tiny(plain | {key.replace("__", "."): value for key, value in changes.items()})


def open_search(
    run_dir: Path, searched: Experiment, max_concurrent: int = 1, plan: Any = "search"
) -> Search:
    """A search on the journal in ``run_dir``, begun if it is new."""
    run_dir.mkdir(parents=True, exist_ok=True)
    journal = Journal(run_dir)
    if not journal.events:
        journal.append("started", plan=plan, **STARTED)
    return Search(searched, journal, FINGERPRINT, max_concurrent, plan)


def as_recorded(config: dict[str, Any]) -> dict[str, Any]:
    """A setting without the keys that came after the recorded journals."""
    later = ("eps_warmup", "clip_gradients", "ema", "select")
    defense = {key: value for key, value in config["defense"].items() if key not in later}
    return {**config, "defense": defense}


def objectives(config: dict[str, Any], progress: float = 1.0) -> tuple[float, float]:
    """(clean, robust) of a setting: a trade-off in λ and ε, a little rough, rising with epochs."""
    defense = config["defense"]
    if defense["method"] == "none":
        return 0.9, 0.05
    weight = math.log10(defense["lambda"])
    rough = derive_seed(json.dumps(as_recorded(config), sort_keys=True)) % 1000 / 1e4
    clean = 0.7 - 0.2 * max(weight, -1) - 2 * defense["eps"] + rough
    robust = 0.3 + 0.15 * weight + 3 * defense["eps"] + 0.01 * defense["steps"] - rough
    share = 0.5 + 0.5 * progress
    return min(1.0, max(0.0, clean * share)), min(1.0, max(0.0, robust * share))


def always(_: int) -> bool:
    return True


def fake_trial(
    spec: TrialSpec,
    fails: tuple[float, float] = (math.inf, math.inf),
    is_due: Callable[[int], bool] = always,
) -> Iterator[EpochReport | FinalReport]:
    """Reports of a trial; settings with λ within ``fails`` break in the second epoch."""
    defense = spec.config.dump()["defense"]
    epochs = defense.get("epochs", 0)
    for epoch in range(1, epochs + 1):
        if epoch == 2 and fails[0] <= defense.get("lambda", math.nan) <= fails[1]:
            raise Broken("saat loss is nan in epoch 2; lower lr")
        clean, robust = objectives(spec.config.dump(), epoch / epochs)
        values = {"val/clean_map": clean, "val/robust_map": robust, "val/zero_grad": 0.0}
        # Recorded journals have no losses.
        metrics = values if is_due(epoch) else {"train/loss": 1 / epoch}
        yield EpochReport(epoch, metrics, 1.0, 2.0 + epoch, stages={"outer_step": 0.5})
    clean, robust = objectives(spec.config.dump())
    prefix = "reattack" if spec.phase == "explore" else "test"
    metrics = {f"{prefix}/clean_map": clean, f"{prefix}/robust_map": robust}
    stages = {"outer_step": 0.5 * epochs, "reattack": 3.0}
    yield FinalReport(epochs, metrics, 5.0 + epochs, stages=stages)


def drive(search: Search, fails: tuple[float, float] = (math.inf, math.inf)) -> list[str]:
    """Run a search to its end, a report of every live trial in turn; returns what was begun."""
    live: dict[str, Iterator[EpochReport | FinalReport]] = {}
    begun: list[str] = []
    while True:
        while not isinstance(spec := search.next_trial(), Pause):
            assert spec.trial_id not in live
            live[spec.trial_id] = fake_trial(spec, fails, due_epochs(search, spec))
            begun.append(spec.trial_id)
            assert len(live) <= search.max_concurrent
        if spec is Pause.DONE:
            assert not live
            search.journal.close()
            return begun
        assert live, "waits for nothing"
        for trial_id, reports in list(live.items()):
            if step(search, trial_id, reports):
                del live[trial_id]


def due_epochs(search: Search, spec: TrialSpec) -> Callable[[int], bool]:
    """Which epochs of a trial are validated."""
    deciding = deciding_epochs(search.experiment)
    validation = search.experiment.validation
    return lambda epoch: validation.is_due(epoch, spec.config.epochs, deciding)


def step(search: Search, trial_id: str, reports: Iterator[EpochReport | FinalReport]) -> bool:
    """Hand on one report; whether the trial has ended."""
    try:
        report = next(reports)
    except Broken as error:
        search.on_failure(trial_id, str(error))
        return True
    if isinstance(report, FinalReport):
        search.on_final(trial_id, report)
        return True
    return search.on_epoch(trial_id, report)


def finished(run_dir: Path, searched: Experiment, **options: Any) -> Search:
    """A search that was driven to its end."""
    fails = options.pop("fails", (math.inf, math.inf))
    search = open_search(run_dir, searched, **options)
    drive(search, fails)
    return search


def cut(events: list[Event], count: int, run_dir: Path) -> None:
    """A journal of the first ``count`` events."""
    run_dir.mkdir(parents=True)
    (run_dir / "events.jsonl").write_bytes(b"".join(map(line_of, events[:count])))


def outcome(record: TrialRecord) -> tuple[Any, ...]:
    """Everything of a trial but the clock."""
    epochs = [(e["epoch"], e["metrics"], e["cost_s"]) for e in record.epochs]
    return (
        record.spec,
        record.point,
        record.status,
        record.stop_reason,
        record.metrics,
        record.cost_s,
        epochs,
    )
