"""Warm start: a search begins with the completed trials of earlier searches of its protocol.

Their points and values are journaled when the search begins. So a search that is resumed does not
need the earlier ones any more.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.experiment.config import Experiment, TrialConfig
from harness.experiment.configs import config_at
from harness.experiment.published import paper_defaults
from harness.journal.journal import Event
from harness.journal.state import SearchState, config_hash, load_state, suggested_event
from harness.search.recommendation import usable
from saat.errors import InputError, did_you_mean, one_line
from saat.metrics import Phase
from saat.paths import user_path

# Metrics that are taken over beside those of objectives and constraints: they say whether the MAPs
# are at chance.
_KEPT = ("clean_map", "robust_map", "chance_map", "lift.clean", "lift.robust")


def missing_warm_start(experiment: Experiment, events: list[Event]) -> bool:
    """Whether a journal that has begun still lacks what ``search.warm_start`` asks for."""
    already = any(event["event"] == "warm_started" for event in events)
    searches = events[0].get("plan", "search") == "search"
    return searches and bool(experiment.search.warm_start) and not already


def warm_start(experiment: Experiment, runs_dir: Path, fingerprint: str, protocol: str) -> Event:
    """Fields of the ``warm_started`` event of a new search; ``protocol`` is its protocol's hash.

    A completed explore trial is taken if this search could suggest its setting, or would run it as
    the paper's default, and its objectives, which may be others than those of the earlier search,
    were measured. Of equal settings the first one is taken, in the order of
    ``search.warm_start``, whose names are of runs in ``runs_dir``.

    Raises:
        InputError: no such search, it is not finished, or it has other data or another protocol.
    """
    entries: dict[str, dict[str, Any]] = {}
    runs = {}
    defaults = {
        config_hash(config_at(experiment, point), fingerprint): point
        for point in paper_defaults(experiment)
    }
    aims = experiment.aims
    names = dict.fromkeys((*_KEPT, *aims.names, *aims.constraints.names))
    for name in experiment.search.warm_start:
        state, started = _finished(name, runs_dir, fingerprint, protocol)
        runs[name] = started["search_id"]
        for record in (r for r in state.of_phase("explore") if usable(aims, r)):
            full_hash = record.config_hash
            is_default = full_hash in defaults
            point = defaults[full_hash] if is_default else _point_of(experiment, record.config)
            if point is None or full_hash in entries:
                continue
            config = config_at(experiment, point)
            if config_hash(config, fingerprint) != full_hash:
                continue
            role, number = "default" if is_default else "sampled", -1 - len(entries)
            spec = replace(record.spec, role=role, number=number, config=config)
            metrics = record.metrics
            kept = {key: metrics[key] for key in map(Phase.REATTACK.key, names) if key in metrics}
            entries[full_hash] = {**suggested_event(spec, full_hash, point, {}), "metrics": kept}
    return {"runs": runs, "trials": list(entries.values())}


def _point_of(experiment: Experiment, config: TrialConfig) -> dict[str, Any] | None:
    """The search point at which a setting lies; None if a searched key is not within its range.

    Keys that are not searched are compared by the hash of the point's setting, not here.
    """
    flat, base = config.flat(), experiment.config.flat()
    point: dict[str, Any] = {}
    for key, dimension in experiment.space.items():
        if not dimension.applies({**base, **point}):
            continue
        if key not in flat or not dimension.contains(flat[key]):
            return None
        point[key] = flat[key]
    return point


def warm_start_folder(name: str, runs_dir: Path) -> Path:
    """The folder of a search that ``search.warm_start`` names."""
    return Path(name) if "/" in name else runs_dir / name


def _finished(
    name: str, runs_dir: Path, fingerprint: str, protocol: str
) -> tuple[SearchState, Event]:
    """An earlier search and its first event."""
    key = f"search.warm_start: {one_line(name, 100)}"
    run_dir = user_path(warm_start_folder(name, runs_dir), "search.warm_start:")
    if not (run_dir / "events.jsonl").exists():
        known = sorted(path.parent.name for path in run_dir.parent.glob("*/events.jsonl"))
        raise InputError(
            f"{key}: no such search; there is no {one_line(run_dir / 'events.jsonl', 200)}"
            f"{did_you_mean(run_dir.name, known)}"
        )
    started, state = load_state(run_dir)
    plan = started.get("plan", "search")
    if plan != "search":
        raise InputError(f"{key}: not a search, but the run of saat {plan}")
    formulas = "evaluation, confirm.battery and the versions of attacks, gates and metrics"
    for what, stored, own, keys in (
        ("data set", started["data_fingerprint"], fingerprint, "data"),
        ("protocol", started["protocol_hash"], protocol, formulas),
    ):
        if stored != own:
            raise InputError(
                f"{key}: its {what} {stored[:10]} is not this search's {own[:10]}; {keys} must be "
                "the same"
            )
    if not state.finished:
        raise InputError(f"{key}: not finished; continue it with saat resume, or leave it out")
    return state, started
