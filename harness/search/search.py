"""A search from the first suggestion to the last confirmation: explore → confirm → done.

Every decision is journaled before anything acts on it, and every state is computed from the
journal. So a resumed search continues exactly as the interrupted one would have.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from enum import Enum
from itertools import chain, islice
from typing import Any

from harness.experiment.config import Experiment, TrialConfig
from harness.experiment.configs import config_at
from harness.experiment.published import paper_defaults
from harness.experiment.space import points
from harness.experiment.strata import strata
from harness.journal.journal import Event, Journal
from harness.journal.state import (
    SearchState,
    TrialRecord,
    config_hash,
    metrics_of,
    suggested_event,
)
from harness.search.plan import (
    Plan,
    PlannedTraining,
    PlannedTrials,
    confirmations,
    fixed_trainings,
    planned_trials,
)
from harness.search.recommendation import recommend, usable
from harness.search.samplers.trial_attributes import PROBE
from harness.search.searcher import Searcher
from harness.search.stopping import why_given_up
from harness.search.stratum_search import EXHAUSTED, StratumSearch, in_turn, why_closed
from harness.trial.interface import EpochReport, FinalReport, TrialSpec
from reports.wording import PROBE_ENDS
from saat.feasibility import is_collapsed
from saat.metrics import with_trial_metrics

_ATTEMPTS = 60  # suggestions for one trial before all points are tried in order
MOST_POINTS = 4096  # that are tried in order


class Pause(Enum):
    """Why :meth:`Search.next_trial` has no trial to give."""

    WAIT = "wait"  # until a running trial ends
    DONE = "done"


class Search:
    """Decides what runs next and what stops; executors only carry it out.

    The events of the ``journal`` are replayed. ``max_concurrent``, trials at once, may change
    during the search. The plan is ``search``, ``train`` for the experiment's own setting alone, or
    ``compare`` for the settings of its ``compare`` section under all confirm seeds. A ``searcher``
    replaces the one that the experiment asks for. ``parts`` has one part for each value of
    ``search.each``, and one alone without it.
    """

    def __init__(
        self,
        experiment: Experiment,
        journal: Journal,
        data_fingerprint: str,
        max_concurrent: int,
        plan: Plan = "search",
        searcher: Searcher | None = None,
    ) -> None:
        self.experiment = experiment
        self.journal = journal
        self.max_concurrent = max_concurrent
        self._plan = plan
        self._fingerprint = data_fingerprint
        defaults = paper_defaults(experiment) if plan == "search" else []
        self._defaults = {self._hash(config_at(experiment, point)): point for point in defaults}
        each = experiment.search.each
        self.parts = [StratumSearch(part, each, searcher) for part in strata(experiment)]
        self.state = SearchState()
        self._given_out: set[str] = set()
        for event in journal.events:
            self._apply(event)
            if event["event"] == "epoch":  # told to the scheduler; the decision is in the event
                record = self.state.trials[event["trial_id"]]
                self._stop_reason(record, event["epoch"], metrics_of(event))
        journal.on_event_first(self._apply)
        self._waiting = self.state.running()  # trials of an interrupted search, which continue

    def next_trial(self) -> TrialSpec | Pause:
        """The next trial to run, or why there is none."""
        if len(self._given_out) >= self.max_concurrent:
            return Pause.WAIT
        record = self._waiting.pop(0) if self._waiting else self._suggest()
        if record is not None:
            self._given_out.add(record.spec.trial_id)
            return record.spec
        if self._given_out:
            return Pause.WAIT
        if self._plan == "search" and self.state.recommended is None:
            known = self.state.known()
            chosen = [recommend(p.experiment, filter(p.has, known)) for p in self.parts]
            self.journal.append("recommended", trial_ids=list(chain.from_iterable(chosen)))
            return self.next_trial()
        if not self.state.finished:
            self.journal.append("finished")
        return Pause.DONE

    def planned(self) -> PlannedTrials:
        """How many trials the search will have, as far as it is known now."""
        return planned_trials(self.experiment, self._plan, self.state, self._defaults)

    def on_epoch(self, trial_id: str, report: EpochReport) -> bool:
        """Record a finished epoch; returns whether the trial must stop.

        An epoch that the journal already has changes nothing: a trial that continues reports its
        whole history.
        """
        record = self.state.trials[trial_id]
        if report.epoch <= len(record.epochs):
            return record.status == "stopped"
        measured = with_trial_metrics(report.metrics, report.cost_s)
        reason = self._stop_reason(record, report.epoch, measured)
        fields = asdict(report) | ({"stop_reason": reason} if reason else {})
        self.journal.append("epoch", trial_id=trial_id, **fields)
        return bool(reason)

    def on_final(self, trial_id: str, report: FinalReport) -> None:
        """Record the end of a trial that was re-attacked."""
        self.journal.append("completed", trial_id=trial_id, **asdict(report))

    def on_failure(self, trial_id: str, reason: str) -> None:
        """Record that a trial failed."""
        self.journal.append("failed", trial_id=trial_id, stop_reason=reason)

    def on_lost(self, trial_id: str, reason: str, node: bool) -> None:
        """Record that the worker of a trial was lost, with its ``node`` or alone.

        The trial is given to another worker and continues from its last durable epoch, unless it
        has lost too many workers.
        """
        self.journal.append("lost", trial_id=trial_id, node=node, reason=reason)
        record = self.state.trials[trial_id]
        if reason_to_give_up := why_given_up(record, reason):
            self.on_failure(trial_id, reason_to_give_up)
        else:
            self._given_out.discard(trial_id)
            self._waiting.append(record)

    def _apply(self, event: Event) -> None:
        """Update state and searcher with an event, a stored or a new one."""
        self.state.apply(event)
        kind = event["event"]
        if kind == "warm_started":
            for warm in self.state.warm.values():
                self._part_of(warm).searcher.include(warm.spec.number, warm.point, warm.notes)
                self._tell(warm)
            return
        trial_id = event["trial"]["trial_id"] if kind == "suggested" else event.get("trial_id", "")
        if (record := self.state.trials.get(trial_id)) is None:
            return
        ended = record.status != "running"
        if ended:
            self._given_out.discard(trial_id)
        if record.spec.phase != "explore":
            return
        if kind == "suggested":
            self._part_of(record).searcher.include(record.spec.number, record.point, record.notes)
        elif kind == "epoch":
            values = self.experiment.aims.validation_values(metrics_of(event))
            self._part_of(record).searcher.observe(record.spec.number, values)
        if ended:
            self._tell(record)

    def _suggest(self) -> TrialRecord | None:
        """Journal the next trial of the present phase; None if there is none."""
        if self._plan != "search":
            planned = fixed_trainings(self.experiment, self._plan)
        elif self.state.recommended is None:
            return self._explore()
        else:
            planned = confirmations(self.experiment, self.state)
        for training in planned:
            if self._trial_id(training) not in self.state.trials:
                return self._add(training, {}, {})
        return None

    def _explore(self) -> TrialRecord | None:
        if self.state.stopped_exploring:
            return None
        known = {record.config_hash for record in self.state.known()}
        missing = [point for key, point in self._defaults.items() if key not in known]
        closed = []
        for part in self.parts if missing else in_turn(self.parts, self.state):
            if reason := part.closed(self.state):
                closed.append((part, reason))
            elif missing:
                return self._add(self._training("default", missing[0]), missing[0], {})
            elif record := self._sample(part, known):
                return record
            else:
                part.is_exhausted = True
                closed.append((part, EXHAUSTED))
        if closed:
            self.journal.append("stopped_exploring", reason=why_closed(closed))
        return None

    def _sample(self, part: StratumSearch, known: set[str]) -> TrialRecord | None:
        """Journal a sampled trial of a part of the search; None if it has no setting left."""
        number = len(self.state.trials)
        for suggested, notes in self._candidates(part, number):
            point = {**part.fixed, **suggested}
            training = self._training("sampled", point)
            if self._hash(training.config) not in known:
                return self._add(training, point, notes)
            part.searcher.discard(number)
        return None

    def _candidates(
        self, part: StratumSearch, number: int
    ) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Suggested points with the sampler's notes, then all points of the space."""
        for attempt in range(_ATTEMPTS):
            yield part.searcher.suggest(number, attempt)
        space, base = part.experiment.space, part.experiment.config.flat()
        for point in islice(points(space, base), MOST_POINTS):
            yield point, {}

    def _training(self, role: str, point: dict[str, Any]) -> PlannedTraining:
        config = config_at(self.experiment, point)
        return PlannedTraining("explore", role, self.experiment.seed, config)

    def _part_of(self, record: TrialRecord) -> StratumSearch:
        """The part of the search that an explore trial belongs to."""
        return next(part for part in self.parts if part.has(record))

    def _add(
        self, training: PlannedTraining, point: dict[str, Any], notes: dict[str, Any]
    ) -> TrialRecord:
        """Journal a trial as suggested."""
        phase, role, seed, config = training
        trial_id, number = self._trial_id(training), len(self.state.trials)
        spec = TrialSpec(trial_id, phase, role, number, seed, config)
        self.journal.append("suggested", **suggested_event(spec, self._hash(config), point, notes))
        return self.state.trials[trial_id]

    def _hash(self, config: TrialConfig) -> str:
        return config_hash(config, self._fingerprint)

    def _trial_id(self, training: PlannedTraining) -> str:
        return f"{self._hash(training.config)[:10]}-{training.phase}-{training.seed}"

    def _stop_reason(self, record: TrialRecord, epoch: int, metrics: Mapping[str, float]) -> str:
        """Report an epoch to the scheduler; returns why the trial stops, empty if it goes on."""
        aims = self.experiment.aims
        values = aims.validation_values(metrics)
        if record.spec.phase != "explore" or values is None:
            return ""
        compared = tuple(aims.shares(values)[list(aims.validated)].tolist())
        scheduler = self._part_of(record).scheduler
        stop = scheduler.should_stop(record.spec.trial_id, epoch, compared)
        if record.spec.role == "default" or epoch >= record.config.epochs:
            return ""
        if PROBE in record.notes and epoch == scheduler.first_rung:
            return f"{PROBE_ENDS} at epoch {epoch}"
        return scheduler.stop_reason(epoch) if stop else ""

    def _tell(self, record: TrialRecord) -> None:
        """Tell the searcher how an explore trial ended."""
        number, searcher = record.spec.number, self._part_of(record).searcher
        aims = self.experiment.aims
        if usable(aims, record) and not is_collapsed(record.metrics):
            values = aims.values(record.metrics)
            missing = aims.constraints.violations(record.metrics)
            searcher.tell(number, "completed", values, missing)
        else:
            # The robust MAP of a collapsed trial is chance, which may be the best value so far. No
            # sampler may be drawn to it.
            searcher.tell(number, "stopped" if record.status == "stopped" else "failed")
