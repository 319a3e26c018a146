"""``saat status``: how far a search is."""

import math
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.experiment.config import Experiment
from harness.experiment.configs import varied_keys
from harness.experiment.published import published_configs
from harness.journal.journal import Event
from harness.journal.protocol_identity import version_note
from harness.journal.state import SearchState, TrialRecord, config_hash, load_state, summary
from harness.search.plan import planned_trials
from harness.search.recommendation import explored_hypervolume, front_of
from harness.search.space_edges import space_notices
from harness.session.confirmed import Confirmed, confirmed_lines, confirmed_settings, warnings
from harness.session.resume_checks import read_stored
from harness.session.time_left import TimeLeft, progressed, work_of
from harness.session.wording import objectives_text, setting_text, value_text
from saat.errors import printable
from saat.metrics import METRICS, Phase
from saat.wording import counted, duration


def status_of(run_dir: Path) -> dict[str, Any]:
    """Read the state of a search from its journal; JSON-able."""
    experiment, _ = read_stored(run_dir)
    started, state = load_state(run_dir)
    searches = started.get("plan", "search") == "search"
    exploring = "explore" if state.recommended is None else "confirm"
    trials = state.trials.values()
    aims = experiment.aims
    left = None if state.finished else _left(experiment, started, state)
    confirmed = confirmed_settings(experiment, state)
    return {
        "name": run_dir.name,
        "state": "finished" if state.finished else "unfinished",
        "phase": exploring if searches else "train",
        "stopped_exploring": state.stopped_exploring,
        "warm_started": len(state.warm),
        "versions": version_note(experiment, started),
        "trials": summary(state),
        "hypervolume": explored_hypervolume(aims, state),
        "objectives": aims.names,
        "front": [
            {
                "trial_id": record.spec.trial_id,
                "values": aims.values(record.metrics),
                "recommendable": aims.are_above_chance(record.metrics),
                "setting": _setting(experiment, record),
            }
            for record in front_of(aims, state)
        ],
        "hosts": dict(Counter(r.host for r in trials if r.host)),
        "nodes_lost": sum(r.nodes_lost for r in trials),
        "workers_died": sum(r.worker_deaths for r in trials),
        "running": [
            {
                "trial_id": record.spec.trial_id,
                "epoch": len(record.epochs),
                "epochs": record.config.epochs,
                "setting": _setting(experiment, record),
                "values": [
                    None if math.isnan(value) else value
                    for value in aims.values(record.metrics, Phase.VALIDATION)
                ],
            }
            for record in state.running()
        ],
        "seconds_left": None if left is None else left._asdict(),
        "recommended": state.recommended,
        "confirmed": [asdict(one) for one in confirmed],
        "out_of_memory": {
            r.spec.trial_id: "; ".join(r.out_of_memory) for r in trials if r.out_of_memory
        },
        "warnings": warnings(state, confirmed),
        "space_edges": space_notices(experiment, state),
        "failed": {r.spec.trial_id: r.stop_reason for r in trials if r.status == "failed"},
    }


def _setting(experiment: Experiment, record: TrialRecord) -> dict[str, Any]:
    """The values of the keys in which settings differ; those that do not apply are left out."""
    values = record.config.flat()
    return {key: values[key] for key in varied_keys(experiment) if values.get(key) is not None}


def _left(experiment: Experiment, started: Event, state: SearchState) -> TimeLeft | None:
    """The time left with as many trials at once as run now."""
    plan, published = started.get("plan", "search"), set[str]()
    if plan == "search":
        fingerprint = started["data_fingerprint"]
        published = {config_hash(config, fingerprint) for config in published_configs(experiment)}
    planned = planned_trials(experiment, plan, state, published)
    at_once = max(1, len(state.running()))
    return progressed(state, planned, work_of(started), at_once).left


def render(found: dict[str, Any]) -> str:
    """The state as text."""
    lines = [f"{found['name']}: {found['state']} ({found['phase']}), {found['trials']}"]
    if found["phase"] != "train":
        volume = f"hypervolume {found['hypervolume']:.4f}"
        labels = ", ".join(METRICS[name].label for name in found["objectives"])
        shown = f"front ({labels} on validation):" if found["front"] else "empty front"
        lines.append(f"{volume}; {shown}")
    for entry in found["front"]:
        pairs = zip(found["objectives"], entry["values"], strict=True)
        values = " ".join(f"{value_text(name, value, '-'):>5}" for name, value in pairs)
        mark = "" if entry["recommendable"] else "  (robust MAP not above chance: not recommended)"
        lines.append(
            f"  {values}  {entry['trial_id']}  {setting_text(entry['setting'].items())}{mark}"
        )
    if found["versions"]:
        lines.append(f"  {found['versions']}")
    if found["warm_started"]:
        known = counted(found["warm_started"], "trial")
        lines.append(f"  warm start: {known} of earlier searches")
    if found["stopped_exploring"]:
        lines.append(f"  exploring stopped, {found['stopped_exploring']}")
    if len(found["hosts"]) > 1:
        shares = ", ".join(f"{host} {count}" for host, count in sorted(found["hosts"].items()))
        lines.append(f"  trials by the machine that worked on them last: {shares}")
    if found["nodes_lost"] or found["workers_died"]:
        lines.append(
            f"  trials taken up again: {counted(found['nodes_lost'], 'time')} after their node "
            f"was lost, {counted(found['workers_died'], 'time')} after their worker had died"
        )
    lines += _running(found)
    lines += [f"  out of memory: {name}: {note}" for name, note in found["out_of_memory"].items()]
    lines += [f"  warning: {line}" for line in found["warnings"]]
    lines += [f"  edge of the space: {line}" for line in found["space_edges"]]
    lines += [f"  failed: {trial_id}: {reason}" for trial_id, reason in found["failed"].items()]
    confirmed = [Confirmed(**entry) for entry in found["confirmed"]]
    lines += confirmed_lines(confirmed, found["recommended"])
    return "\n".join(printable(line) for line in lines)


def _running(found: dict[str, Any]) -> list[str]:
    """A line for each running trial, and the time left."""
    lines = []
    for trial in found["running"]:
        measured = [math.nan if value is None else value for value in trial["values"]]
        values = objectives_text(found["objectives"], measured)
        epoch = f"epoch {trial['epoch']}/{trial['epochs']}"
        setting = setting_text(trial["setting"].items())
        lines.append(f"  running: {trial['trial_id']}  {epoch}  {values}  {setting}".rstrip())
    if found["seconds_left"]:
        expected, low, high = map(duration, found["seconds_left"].values())
        lines.append(f"  about {expected} left ({low} to {high}) at this pace")
    return lines
