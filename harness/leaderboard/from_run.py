"""Entries of a leaderboard from the confirmed settings of a finished run."""

import datetime
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.catalogue import catalogue
from harness.experiment.config import TrialConfig
from harness.experiment.section import parsed
from harness.journal.protocol_identity import changed_versions
from harness.leaderboard.entry import Entry, Reference, board_name
from harness.leaderboard.references import REFERENCES
from harness.leaderboard.request import Request
from harness.leaderboard.run_checks import (
    LEAST_DIGITS,
    FinishedRun,
    check_trials,
    chosen,
    finished_run,
    label_of,
    role_of,
    verified_numbers,
)
from harness.named_paths import setting_paths
from reports.confirmed import ConfirmedConfig
from reports.explored import bits_label
from reports.results import measured_names
from saat import __version__
from saat.bootstrap import Interval
from saat.errors import InputError, one_line
from saat.metrics import Phase


def entries_of(
    run_dir: Path,
    request: Request,
    cache_dir: str | None,
    say: Callable[[str], None],
    allow: Sequence[Path] = (),
) -> list[Entry]:
    """Verify a finished run, and make entries of its confirmed settings; nothing is written.

    Raises:
        InputError: the run has not ended, its numbers are not what its images give, it was
            measured under another protocol than asked for, or it has no such setting.
    """
    run = finished_run(run_dir)
    configs = chosen(run, request.setting)
    if request.claimed is not None and len(configs) > 1:
        raise InputError(
            f"--claimed: belongs to one setting, and {len(configs)} are chosen; name one of them "
            f"by --setting, such as {label_of(configs[0])!r}"
        )
    _check_protocol(run, request.protocol)
    for config in configs:
        check_trials(run, config)
    numbers = verified_numbers(run, cache_dir, say, allow)
    return [_entry(run, config, request, numbers) for config in configs]


def _check_protocol(run: FinishedRun, asked: str | None) -> None:
    """Refuse a run of another protocol; ``asked`` names a board, or begins a protocol's hash."""
    evaluation, battery = run.experiment.evaluation, run.experiment.confirm.battery
    sha256 = run.started["protocol_hash"]
    own = board_name(_label(run), evaluation.norm, evaluation.eps, battery, sha256)
    is_hash = asked is not None and len(asked) >= LEAST_DIGITS and sha256.startswith(asked)
    if asked not in (None, own) and not is_hash:
        shown = one_line(asked, 60) or repr(asked)
        raise InputError(f"{run.name}: measured under protocol {own}, not --protocol {shown}")


def _label(run: FinishedRun) -> str:
    """The label of the data set; the journals of old runs have none."""
    return str(run.started.get("dataset") or "unnamed")


def _entry(run: FinishedRun, config: ConfirmedConfig, request: Request, numbers: int) -> Entry:
    """The entry of a setting; ``numbers`` of its run were verified.

    Raises:
        InputError: a file of the run holds what no entry may have.
    """
    record = run.records(config)[0]
    evaluation = run.experiment.evaluation
    content = {
        "schema_version": 1,
        "name": _name(config, record.config),
        "defense": _defense(record.config, request.reference),
        "model": {**record.config.dump()["model"], "weights": _without_paths(record.config)},
        "data": _data(run, config),
        "threat_model": {"norm": evaluation.norm, "eps": evaluation.eps},
        "protocol": _protocol(run),
        "config_hash": config.config_hash,
        "setting": {**record.config.flat(), "model.weights": _without_paths(record.config)},
        "measured": _measured(config),
        "claimed": request.claimed.model_dump() if request.claimed else None,
        "gates": _gates(run, config),
        "cost": _cost(run, config),
        "verification": {
            "numbers": numbers,
            "trials": [str(trial) for trial in config.trials["trial_id"]],
            "release": __version__,
        },
        "origin": _origin(run, config),
    }
    return parsed(Entry, content, f"{run.name}:")


def _name(config: ConfirmedConfig, trained: TrialConfig) -> str:
    what = config.setting or role_of(config)
    words = what if trained.method == "none" else f"{trained.method}, {what}"
    return f"{words}, {bits_label(config.bits)}"


def _without_paths(config: TrialConfig) -> str:
    """``model.weights``: a word, or the last part of the path of a file."""
    weights = config.model.weights
    paths = {item.path for item in setting_paths({"model": config.model.model_dump()})}
    return Path(weights).name if weights in paths else weights


def _defense(config: TrialConfig, given: Reference | None) -> dict[str, Any]:
    method = config.method
    own: Mapping[str, Any] | None = given.model_dump() if given else REFERENCES.get(method)
    known = catalogue().defenses.get(method)
    description = known.description if known else "the pretrained model as it is"
    return {"method": method, "description": description, "reference": own and dict(own)}


def _data(run: FinishedRun, config: ConfirmedConfig) -> dict[str, Any]:
    """The data set of the run; sizes are those of its provenance, or null in older runs."""
    facts = run.results.provenance.get("data")
    facts = facts if isinstance(facts, dict) else {}
    clean = config.queries.get("clean")
    return {
        "label": _label(run),
        "fingerprint": run.started["data_fingerprint"],
        "image_size": run.experiment.data.image_size,
        "classes": facts.get("classes"),
        "database": facts.get("database"),
        "queries": facts.get("test") if clean is None else clean.shape[1],
    }


def _protocol(run: FinishedRun) -> dict[str, Any]:
    battery = run.experiment.confirm.battery
    versions = catalogue().batteries[battery].usable()
    return {
        "hash": run.started["protocol_hash"],
        "evaluation": run.experiment.evaluation.model_dump(),
        "battery": battery,
        "battery_version": versions.get(f"battery.{battery}"),
        "versions": changed_versions(run.experiment),
    }


def _measured(config: ConfirmedConfig) -> dict[str, Any]:
    return {
        **{name: _estimate(band, config, name) for name, band in config.bands.items()},
        "attacks": _by_attack(config, "map."),
        "targeted": _by_attack(config, "tmap."),
        "chance_map": _fraction(config.mean("chance_map")),
        "floor_map": _fraction(config.mean("floor_map")),
        "seeds": [int(seed) for seed in config.trials["seed"]],
    }


def _estimate(band: Interval, config: ConfirmedConfig, name: str) -> dict[str, float | None]:
    std = _fraction(config.summary(name).std)
    return {"mean": _fraction(band.mean), "low": _fraction(band.low),
            "high": _fraction(band.high), "std": std}  # fmt: skip


def _by_attack(config: ConfirmedConfig, kind: str) -> dict[str, float | None]:
    """Means over seeds of a metric that each attack has, by attack."""
    names = [n for n in measured_names(config.trials, Phase.TEST) if n.startswith(kind)]
    return {name.removeprefix(kind): _fraction(config.mean(name)) for name in names}


def _fraction(value: float) -> float | None:
    """None where nothing was measured; rounding may have raised a mean above 1."""
    return None if math.isnan(value) else min(1.0, float(value))


def _gates(run: FinishedRun, config: ConfirmedConfig) -> dict[str, Any]:
    records = run.records(config)
    failed = [sentence for record in records for sentence in record.unreliable]
    doubts = config.reliability.removeprefix(config.gates).removeprefix("; ").split("; ")
    tried = run.results.tested
    tried = tried[(tried["config_hash"] == config.config_hash) & (tried["role"] == config.role)]
    lost = len(tried) - len(config.trials)
    if lost:
        doubts.append(f"{lost} of {len(tried)} seeds did not end")
    return {
        "checked": not any(math.isnan(n) for n in config.seeds("gates_failed")),
        "failed": list(dict.fromkeys(failed)),
        "doubts": [text for text in doubts if text],
        "unreliable": bool(failed or config.collapsed or config.dead_gradients or lost),
    }


def _cost(run: FinishedRun, config: ConfirmedConfig) -> dict[str, Any]:
    machine = run.results.provenance.get("machine")
    gpu = machine.get("gpu") if isinstance(machine, dict) else None
    return {
        "seconds": float(config.trials["cost_s"].mean()),
        "epochs": int(config.trials["epochs"].max()),
        "device": run.started["device"],
        "gpu": gpu,
    }


def _origin(run: FinishedRun, config: ConfirmedConfig) -> dict[str, Any]:
    provenance = run.results.provenance
    versions = provenance.get("versions")
    finished = float(config.trials["finished_at"].max())
    plan = run.started.get("plan", "search")
    return {
        "run": run.name,
        "role": role_of(config),
        "command": f"saat {plan} {run.experiment.name}.yaml",
        "release": versions.get("saat-harness") if isinstance(versions, dict) else None,
        "revision": provenance.get("git_revision"),
        "finished": datetime.datetime.fromtimestamp(finished, datetime.UTC).date().isoformat(),
    }
