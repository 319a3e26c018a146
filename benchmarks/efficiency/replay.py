"""A search over recorded trainings: the product's own search, a simulated clock, no training.

:class:`harness.search.search.Search` decides everything, with its sampler, scheduler, stopping
rules and journal; only the trainings are read from a table. Several workers run at once: an event
queue orders their reports by the recorded costs, so trials meet at the rungs as they would for
real.
Rules on time (``search.stop.time``) mean nothing here: the journal's clock is the real one.
"""

import heapq
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from optuna.samplers import BaseSampler

from benchmarks.efficiency.recording import Recording
from harness.experiment.config import Experiment
from harness.experiment.configs import config_at
from harness.experiment.resolve import resolve_experiment
from harness.journal.journal import Journal
from harness.search.samplers import SAMPLERS
from harness.search.samplers.context import SamplerContext
from harness.search.samplers.ehvi import EhviSampler
from harness.search.search import Pause, Search
from harness.search.searcher import Searcher
from harness.trial.trial import EpochReport, FinalReport, TrialSpec
from reports.frontier import hypervolume

Report = EpochReport | FinalReport


class RecordedSearcher(Searcher):
    """The product's sampler, whose suggestions move to the nearest recorded setting not yet used.

    The study holds the setting that was recorded, not the one first suggested, so the sampler
    learns from points that have the values it is told. ``ehvi`` chooses among the recorded
    settings itself: on a continuous space it looks for the best point; the best recorded one takes
    its place.
    """

    def __init__(self, recording: Recording, experiment: Experiment) -> None:
        search = experiment.search
        self._recording = recording
        self._used: set[str] = set()
        super().__init__(
            experiment.space,
            lambda point: config_at(experiment, point).flat(),
            SAMPLERS[search.sampler],
            experiment.seed,
            search.num_samples,
        )
        self.distances: list[float] = []  # of every suggestion to the setting it became

    def suggest(self, number: int, attempt: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
        """See :meth:`harness.search.searcher.Searcher.suggest`."""
        suggested, notes = super().suggest(number, attempt)
        self.discard(number)
        nearest, distance = self._recording.nearest(suggested, self._used)
        self._used.add(nearest)
        self.distances.append(distance)
        point = self._recording.points[nearest]
        self.include(number, point, notes)
        return point, notes

    def make_sampler(self, kind: type[BaseSampler], context: SamplerContext) -> BaseSampler:
        """See :meth:`harness.search.searcher.Searcher.make_sampler`."""
        sampler = super().make_sampler(kind, context)
        if isinstance(sampler, EhviSampler):
            left = (h for h in self._recording.sampled if h not in self._used)
            sampler.candidates = [self._recording.points[full_hash] for full_hash in left]
        return sampler


class Replay(NamedTuple):
    """What one search did."""

    cost: NDArray[np.float64]  # (n,) CPU seconds spent when each setting completed
    hypervolume: NDArray[np.float64]  # (n,) of the seed-averaged values completed so far
    total_cost: float  # of all trials, stopped ones included
    elapsed: float  # simulated seconds
    trials: int
    settings: tuple[str, ...]  # config hashes in the order in which they completed
    distance: float  # median of the suggestions to the recorded settings they became

    def at(self, cost: float) -> float:
        """Hypervolume when ``cost`` was spent; 0 before the first completed trial."""
        index = int(np.searchsorted(self.cost, cost, side="right"))
        return float(self.hypervolume[index - 1]) if index else 0.0

    def cost_to(self, volume: float) -> float:
        """What was spent when the hypervolume first reached ``volume``; inf if it never did."""
        reached = np.flatnonzero(self.hypervolume >= volume)
        return float(self.cost[reached[0]]) if len(reached) else np.inf


def with_search(experiment: Experiment, seed: int, search: Mapping[str, Any]) -> Experiment:
    """The experiment with another search: its seed, and keys of its ``search`` section."""
    raw = experiment.dump()
    return resolve_experiment(
        {**raw, "seed": seed, "search": {**raw["search"], **search}}, "replay"
    )


def replay(experiment: Experiment, recording: Recording, workers: int) -> Replay:
    """Run a search over a recording to its end.

    The search sees the values of one recorded seed; what it found is judged by averages over all
    of them.

    Args:
        experiment: its ``search`` section and seed count; the seed also picks the recorded seed.
        recording: made of the same space.
        workers: trials at once.
    """
    memory = Path("/dev/shm")  # where it exists, nothing reaches a disk
    folder = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
    with folder as run_dir, closing(Journal(Path(run_dir))) as journal:
        journal.append("started", plan="search")
        return _Simulation(experiment, recording, workers, journal).run()


class _Simulation:
    """Workers of a simulated machine."""

    def __init__(
        self, experiment: Experiment, recording: Recording, workers: int, journal: Journal
    ) -> None:
        self._recording = recording
        self._seed = recording.seeds[experiment.seed % len(recording.seeds)]
        self._objectives = recording.mean_objectives()
        self._now = self._spent = 0.0
        self._pretrained: set[int] = set()
        # (time, tie-break, trial, seconds of work, report)
        self._queue: list[tuple[float, int, str, float, Report]] = []
        self._begun = 0
        self._live: dict[str, Iterator[tuple[float, Report]]] = {}
        self._curve: list[tuple[float, float]] = []
        self._completed: list[str] = []
        self._searcher = RecordedSearcher(recording, experiment)
        # Hashes of the table's settings belong to the data it was recorded on.
        self._search = Search(experiment, journal, "", workers, searcher=self._searcher)

    def run(self) -> Replay:
        """Give every worker something to do until the search is done."""
        while True:
            while not isinstance(spec := self._search.next_trial(), Pause):
                self._live[spec.trial_id] = self._reports(spec)
                self._await(spec.trial_id)
            if spec is Pause.DONE:
                break
            self._now, _, *part = heapq.heappop(self._queue)
            self._take_in(*part)
        records = self._search.state.trials.values()
        cost, volume = np.array(self._curve).reshape(-1, 2).T
        return Replay(
            cost,
            volume,
            sum(record.cost_s for record in records),
            self._now,
            len(records),
            tuple(self._completed),
            float(np.median(self._searcher.distances)) if self._searcher.distances else 0.0,
        )

    def _await(self, trial_id: str) -> None:
        """Let a worker begin the next part of a trial."""
        seconds, report = next(self._live[trial_id])
        self._begun += 1
        part = (self._now + seconds, self._begun, trial_id, seconds, report)
        heapq.heappush(self._queue, part)

    def _take_in(self, trial_id: str, seconds: float, report: Report) -> None:
        """A part of a trial is done; tell the search."""
        self._spent += seconds
        if isinstance(report, EpochReport):
            if not self._search.on_epoch(trial_id, report):
                self._await(trial_id)
            return
        self._search.on_final(trial_id, report)
        point = self._search.state.trials[trial_id].point
        self._completed.append(self._recording.hash_of(point))
        volume = hypervolume([self._objectives[full_hash] for full_hash in self._completed])
        self._curve.append((self._spent, volume))

    def _reports(self, spec: TrialSpec) -> Iterator[tuple[float, Report]]:
        """(seconds of work, report) of every part of a trial, as they were recorded.

        The first trial of a bit length pays for the pretrained model, as in the store.
        """
        point = self._search.state.trials[spec.trial_id].point
        run = self._recording.runs[self._recording.hash_of(point), self._seed]
        bits = spec.config.model.bits
        cost = 0.0
        if bits not in self._pretrained:
            self._pretrained.add(bits)
            cost = self._recording.pretraining[bits, self._seed]
        for number, (metrics, own) in enumerate(zip(run.validation, run.seconds, strict=True), 1):
            seconds = own + (cost if number == 1 else 0.0)
            cost += own
            yield seconds, EpochReport(number, metrics, own, cost)
        yield run.final_seconds, FinalReport(len(run.seconds), run.final, cost + run.final_seconds)
