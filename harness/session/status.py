"""``saat status``: how far a search is."""

import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from harness.journal.protocol_identity import version_note
from harness.journal.state import SearchState, load_state, summary
from harness.search.recommendation import eligible
from harness.search.space_edges import space_notices
from harness.session.resume_checks import read_stored
from reports.frontier import hypervolume, pareto_mask
from saat.errors import printable
from saat.feasibility import Aims
from saat.metrics import METRICS, Unit, final_metrics
from saat.sanity import warning_lines
from saat.wording import counted


def status_of(run_dir: Path) -> dict[str, Any]:
    """Read the state of a search from its journal; JSON-able."""
    experiment, _ = read_stored(run_dir)
    started, state = load_state(run_dir)
    searches = started.get("plan", "search") == "search"
    exploring = "explore" if state.recommended is None else "confirm"
    trials = state.trials.values()
    aims = experiment.aims
    done = [r for r in state.of_phase("explore") if eligible(aims, r)]
    points = aims.oriented([aims.values(record.metrics) for record in done])
    front = [done[i] for i in np.argsort(-points[:, 0], kind="stable") if pareto_mask(points)[i]]
    return {
        "name": run_dir.name,
        "state": "finished" if state.finished else "unfinished",
        "phase": exploring if searches else "train",
        "stopped_exploring": state.stopped_exploring,
        "warm_started": len(state.warm),
        "versions": version_note(experiment, started),
        "trials": summary(state),
        "hypervolume": hypervolume(points, aims.corner),
        "objectives": aims.names,
        "front": [
            {
                "trial_id": record.spec.trial_id,
                "values": aims.values(record.metrics),
                "recommendable": aims.are_above_chance(record.metrics),
                "setting": record.point,
            }
            for record in front
        ],
        "hosts": dict(Counter(r.host for r in trials if r.host)),
        "nodes_lost": sum(r.nodes_lost for r in trials),
        "workers_died": sum(r.worker_deaths for r in trials),
        "running": [record.spec.trial_id for record in state.running()],
        "out_of_memory": {
            r.spec.trial_id: "; ".join(r.out_of_memory) for r in trials if r.out_of_memory
        },
        "warnings": warning_lines(finished_metrics(state)),
        "space_edges": space_notices(experiment, state),
        "failed": {r.spec.trial_id: r.stop_reason for r in trials if r.status == "failed"},
    }


def finished_metrics(state: SearchState) -> dict[str, dict[str, float]]:
    """Metrics under the full protocol of every completed trial, by its id."""
    ended = state.ended()
    return {r.spec.trial_id: final_metrics(r.metrics) for r in ended if r.status == "completed"}


def short_label(name: str) -> str:
    """``clean`` for ``clean_map``; the metric's label where it is not the MAP of queries."""
    return METRICS[name].label.removesuffix(" MAP")


def value_text(name: str, value: float, missing: str) -> str:
    """A value of a metric: ``81.3`` (percent), ``32`` (bits), ``412`` (seconds)."""
    if math.isnan(value):
        return missing
    unit = METRICS[name].unit
    if unit.symbol:
        return f"{100 * value:.1f}"
    return f"{value:.0f}" if unit in (Unit.COUNT, Unit.SECONDS) else f"{value:.4g}"


def objectives_text(aims: Aims, values: Iterable[float]) -> str:
    """``clean 81.3 robust 40.2``."""
    pairs = zip(aims.names, values, strict=True)
    return " ".join(f"{short_label(name)} {value_text(name, value, '-')}" for name, value in pairs)


def setting_text(values: Iterable[tuple[str, object]]) -> str:
    """``key=value`` of every pair; floats in three digits."""
    return " ".join(
        f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in values
    )


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
        mark = "" if entry["recommendable"] else "  (robust MAP at chance: not recommended)"
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
    lines += [f"  running: {trial_id}" for trial_id in found["running"]]
    lines += [f"  out of memory: {name}: {note}" for name, note in found["out_of_memory"].items()]
    lines += [f"  warning: {line}" for line in found["warnings"]]
    lines += [f"  edge of the space: {line}" for line in found["space_edges"]]
    lines += [f"  failed: {trial_id}: {reason}" for trial_id, reason in found["failed"].items()]
    return "\n".join(printable(line) for line in lines)
