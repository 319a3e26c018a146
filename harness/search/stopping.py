"""Rules that end exploring before its budget, and a trial that lost too many workers.

A rule is a function of the journal's events, like every other decision. When it holds, running
trials finish, no further trial is suggested, and the confirmation follows.
"""

from collections.abc import Callable

from harness.experiment.config import Experiment
from harness.experiment.search_section import StagnationSection
from harness.journal.state import SearchState, TrialRecord
from harness.search.recommendation import eligible_values, usable
from reports.frontier import hypervolume
from saat.wording import counted, duration

MAX_DEATHS = 4  # a trial that kills its worker again and again would do so for ever
MAX_NODES_LOST = 100  # losing spot machines is not the fault of a trial
_LOW_ON_MEMORY = "running low on memory"  # in the words of Ray's memory monitor


def stop_reason(
    experiment: Experiment,
    state: SearchState,
    counts: Callable[[TrialRecord], bool] = lambda _: True,
) -> str:
    """Why no further trial is to be suggested, in words; empty if one may be.

    ``counts`` says whose work counts: trials of one value of ``search.each``, or all.

    - ``time``: seconds between the journal's first and its latest event. It is a deadline, so the
      time of an interruption counts too. ``cost`` does not grow then.
    - ``cost``: seconds of work of all explore trials, stopped, failed and running ones included.
    - ``stagnation``: see :func:`_stagnation`.
    """
    rules = experiment.search.stop
    elapsed = state.latest - state.began
    if rules.time is not None and elapsed >= rules.time:
        return f"time: {duration(elapsed)} have passed, {duration(rules.time)} were given"
    cost = sum(record.cost_s for record in state.of_phase("explore") if counts(record))
    if rules.cost is not None and cost >= rules.cost:
        return f"cost: {duration(cost)} of work are done, {duration(rules.cost)} were given"
    return _stagnation(rules.stagnation, experiment, state) if rules.stagnation else ""


def _stagnation(rule: StagnationSection, experiment: Experiment, state: SearchState) -> str:
    """Whether HV(all) ≤ (1 + tolerance) · HV(all but the last n completed trials).

    Trials below a constraint, or with a clean MAP at chance, are among those n, but add no
    hypervolume. While the hypervolume is 0, nothing stagnates. Trials of earlier searches
    (``warm_start``) are never among the last n. At least one trial must come before those n.
    """
    aims = experiment.aims
    done = [r for r in state.completed if r.spec.phase == "explore" and usable(aims, r)]
    known = [*state.warm.values(), *done]
    if len(done) < rule.trials or len(known) == rule.trials:
        return ""
    first, last = (
        hypervolume(eligible_values(aims, part), aims.corner)
        for part in (known[: -rule.trials], known)
    )
    if not first or last > first * (1 + rule.tolerance):
        return ""
    return (
        f"stagnation: the last {rule.trials} completed trials raised the hypervolume from "
        f"{first:.4f} to {last:.4f}, by no more than {100 * rule.tolerance:g} %"
    )


def why_given_up(record: TrialRecord, latest: str) -> str:
    """Why a trial is given up after it lost its worker; empty if it is started again.

    ``latest`` describes the latest loss, which ``record`` already counts.
    """
    if record.worker_deaths > MAX_DEATHS:
        lower = "; lower search.max_concurrent or batch_size" if _LOW_ON_MEMORY in latest else ""
        died = counted(record.worker_deaths, "time")
        return f"its worker process died {died}, the last time so: {latest}{lower}"
    if record.nodes_lost > MAX_NODES_LOST:
        return f"its node was lost {counted(record.nodes_lost, 'time')}, the last time so: {latest}"
    return ""
