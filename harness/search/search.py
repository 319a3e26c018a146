"""A search from the first suggestion to the last confirmation: explore → confirm → done.

Every decision is journaled before anything acts on it, and every state is a fold of the journal,
so a search that is resumed is the search that was interrupted.
"""

from dataclasses import asdict
from enum import Enum
from itertools import islice
from typing import Any

from harness.experiment.config import Experiment, TrialConfig
from harness.experiment.configs import config_at, longest_training, paper_defaults
from harness.journal.journal import Event, Journal
from harness.journal.state import SearchState, TrialRecord, config_hash, suggested_event
from harness.search.plan import Plan, Planned, confirmations, given, planned_trials
from harness.search.recommendation import recommend, usable
from harness.search.samplers import SAMPLERS
from harness.search.samplers.trial_attributes import STARTUP
from harness.search.schedulers import SCHEDULERS
from harness.search.searcher import Searcher
from harness.search.stopping import stop_reason
from harness.search.worker_failures import why_given_up
from harness.trial.trial import EpochReport, FinalReport, TrialSpec
from saat.feasibility import is_collapsed, objective_values
from saat.metrics import Phase

_ATTEMPTS = 60  # suggestions for one trial before all points are gone through
MOST_POINTS = 4096  # of those


class Pause(Enum):
    """Why :meth:`Search.next_trial` has no trial to give."""

    WAIT = "wait"  # until a running trial ends
    DONE = "done"


class Search:
    """Decides what runs next and what stops; executors only carry it out.

    Args:
        experiment: the resolved experiment.
        journal: opened journal; its events are replayed.
        data_fingerprint: of the data set, for hashes.
        max_concurrent: trials at once; the attribute of that name may change during the search.
        plan: ``search``; ``train`` for the experiment's own setting alone; ``compare`` for the
            settings of its ``compare`` section under all confirm seeds.
        searcher: suggests points; by default what the experiment asks for.
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
        points = paper_defaults(experiment) if plan == "search" else []
        self._defaults = [(point, config_at(experiment, point)) for point in points]
        search = experiment.search
        self._searcher = searcher or Searcher(
            experiment.space,
            lambda point: config_at(experiment, point).flat(),
            SAMPLERS[search.sampler],
            experiment.seed,
            search.num_samples,
            experiment.minimums.of_objectives,
        )
        longest = longest_training(experiment)
        self._scheduler = SCHEDULERS[search.scheduler].for_search(search, longest)
        self.state = SearchState()
        for event in list(journal.events):
            self._replay(event)
        journal.fold(self.state.apply)
        self._waiting = self.state.running()  # begun before, to be taken up again
        self._live: set[str] = set()

    def next_trial(self) -> TrialSpec | Pause:
        """The next trial to run, or why there is none."""
        if len(self._live) >= self.max_concurrent:
            return Pause.WAIT
        if self._waiting:
            return self._begin(self._waiting.pop(0))
        record = self._suggest()
        if record is not None:
            return self._begin(record)
        if self._live:
            return Pause.WAIT
        if self._plan == "search" and self.state.recommended is None:
            self._record("recommended", trial_ids=recommend(self.experiment, self.state.known()))
            return self.next_trial()
        if not self.state.finished:
            self._record("finished")
        return Pause.DONE

    def planned_trials(self) -> int:
        """How many trials the search will have, as far as can be told now."""
        defaults = sum(not self._is_warm(config) for _, config in self._defaults)
        return planned_trials(self.experiment, self._plan, self.state, defaults)

    def on_epoch(self, trial_id: str, report: EpochReport) -> bool:
        """Take in a finished epoch; whether the trial shall stop.

        An epoch that the journal already has (a trial tells its whole history when it is taken up
        again) changes nothing.
        """
        record = self.state.trials[trial_id]
        if report.epoch <= len(record.epochs):
            return record.status == "stopped"
        reason = self._stop_reason(record, report)
        fields = asdict(report) | ({"stop_reason": reason} if reason else {})
        self._record("epoch", trial_id=trial_id, **fields)
        if reason:
            self._end(record)
        return bool(reason)

    def on_final(self, trial_id: str, report: FinalReport) -> None:
        """Take in the end of a trial that was re-attacked."""
        record = self.state.trials[trial_id]
        self._record("completed", trial_id=trial_id, **asdict(report))
        self._end(record)

    def on_failure(self, trial_id: str, reason: str) -> None:
        """Take in a trial that cannot go on."""
        self._record("failed", trial_id=trial_id, stop_reason=reason)
        self._end(self.state.trials[trial_id])

    def on_lost(self, trial_id: str, reason: str, node: bool) -> None:
        """Take in that the worker of a trial is gone: with its ``node``, or it alone.

        The trial is given out again and goes on from its last durable epoch, unless that has
        happened too often.
        """
        record = self.state.trials[trial_id]
        self._record("lost", trial_id=trial_id, node=node, reason=reason)
        reason_to_give_up = why_given_up(record, reason)
        if reason_to_give_up:
            self.on_failure(trial_id, reason_to_give_up)
        else:
            self._live.discard(trial_id)
            self._waiting.append(record)

    def _begin(self, record: TrialRecord) -> TrialSpec:
        self._live.add(record.spec.trial_id)
        return record.spec

    def _record(self, kind: str, **fields: Any) -> None:
        self.journal.append(kind, **fields)

    def _replay(self, event: Event) -> None:
        """Bring state, scheduler and searcher to where the journal left them."""
        self.state.apply(event)
        kind = event["event"]
        if kind == "warm_started":
            for record in self.state.warm.values():
                self._searcher.include(record.spec.number, record.point, record.notes)
                self._tell(record)
        elif kind == "suggested":
            record = self.state.trials[event["trial"]["trial_id"]]
            if record.spec.phase == "explore":
                self._searcher.include(record.spec.number, record.point, record.notes)
        elif kind in ("epoch", "completed", "failed"):
            record = self.state.trials[event["trial_id"]]
            if kind == "epoch" and record.spec.phase == "explore":
                values = objective_values(event["metrics"], Phase.VALIDATION)
                self._scheduler.should_stop(record.spec.trial_id, event["epoch"], values)
                self._searcher.observe(record.spec.number, values)
            if record.status != "running":
                self._tell(record)

    def _suggest(self) -> TrialRecord | None:
        """Journal a new trial of the present phase, if it has one left."""
        if self._plan != "search":
            planned = given(self.experiment, self._plan)
        elif self.state.recommended is None:
            return self._explore()
        else:
            planned = confirmations(self.experiment, self.state)
        for training in planned:
            if self._trial_id(training) not in self.state.trials:
                return self._add(training, {}, {})
        return None

    def _explore(self) -> TrialRecord | None:
        known = {record.config_hash for record in self.state.known()}
        missing = [
            (point, config)
            for point, config in self._defaults
            if config_hash(config, self._fingerprint) not in known
        ]
        sampled = sum(r.spec.role == "sampled" for r in self.state.of_phase("explore"))
        spent = sampled >= self.experiment.search.num_samples
        if self.state.stopped_exploring or (spent and not missing):
            return None
        reason = stop_reason(self.experiment, self.state)
        if reason:
            self._record("stopped_exploring", reason=reason)
            return None
        if missing:
            point, config = missing[0]
            default = Planned("explore", "default", self.experiment.seed, config)
            record = self._add(default, point, {})
            self._searcher.include(record.spec.number, point, {})
            return record
        return self._sample(known)

    def _sample(self, known: set[str]) -> TrialRecord | None:
        """A suggestion of the sampler whose setting is not among the ``known`` hashes."""
        number = len(self.state.trials)
        for attempt in range(_ATTEMPTS):
            point, notes = self._searcher.suggest(number, attempt)
            if new := self._if_new(point, known):
                return self._add(new, point, notes)
            self._searcher.discard(number)
        for point in islice(self._searcher.remaining(), MOST_POINTS):
            if new := self._if_new(point, known):
                self._searcher.include(number, point, {})
                return self._add(new, point, {})
        self._record("stopped_exploring", reason="the space has no setting that was not tried")
        return None

    def _if_new(self, point: dict[str, Any], known: set[str]) -> Planned | None:
        config = config_at(self.experiment, point)
        if config_hash(config, self._fingerprint) in known:
            return None
        return Planned("explore", "sampled", self.experiment.seed, config)

    def _add(self, training: Planned, point: dict[str, Any], notes: dict[str, Any]) -> TrialRecord:
        phase, role, seed, config = training
        trial_id, number = self._trial_id(training), len(self.state.trials)
        spec = TrialSpec(trial_id, phase, role, number, seed, config)
        full_hash = config_hash(config, self._fingerprint)
        self.state.decided[trial_id] = spec
        self._record("suggested", **suggested_event(spec, full_hash, point, notes))
        return self.state.trials[trial_id]

    def _trial_id(self, training: Planned) -> str:
        full_hash = config_hash(training.config, self._fingerprint)
        return f"{full_hash[:10]}-{training.phase}-{training.seed}"

    def _stop_reason(self, record: TrialRecord, report: EpochReport) -> str:
        if record.spec.phase != "explore":
            return ""
        values = objective_values(report.metrics, Phase.VALIDATION)
        self._searcher.observe(record.spec.number, values)
        stop = self._scheduler.should_stop(record.spec.trial_id, report.epoch, values)
        last = report.epoch >= record.config.epochs
        if record.spec.role == "default" or last:
            return ""
        if STARTUP in record.notes and report.epoch == self._scheduler.first_rung:
            return f"a probe, which ends at epoch {report.epoch}"
        return self._scheduler.stop_reason(report.epoch) if stop else ""

    def _end(self, record: TrialRecord) -> None:
        self._live.discard(record.spec.trial_id)
        self._tell(record)

    def _tell(self, record: TrialRecord) -> None:
        if record.spec.phase != "explore" or record.status == "running":
            return
        number = record.spec.number
        if usable(record) and is_collapsed(record.metrics):
            # Its robust MAP, chance, may be the best so far: no sampler may be drawn to it.
            self._searcher.tell(number, "failed")
        elif usable(record):
            values = objective_values(record.metrics)
            missing = self.experiment.minimums.violations(record.metrics)
            self._searcher.tell(number, "completed", values, missing)
        else:
            self._searcher.tell(number, "stopped" if record.status == "stopped" else "failed")

    def _is_warm(self, config: TrialConfig) -> bool:
        full_hash = config_hash(config, self._fingerprint)
        return any(record.config_hash == full_hash for record in self.state.warm.values())
