"""A search over recorded trainings: the product's own search, a simulated clock, no training.

:class:`harness.search.search.Search` decides everything, with its sampler, scheduler, stopping
rules and journal; only the trainings are read from a table. Several workers run at once: an event
queue orders their reports by the recorded costs, so trials meet at the rungs as they would for
real.
Rules on time (``search.stop.time``) mean nothing here: the journal's clock is the real one.
"""

import heapq
import itertools
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from optuna.samplers import BaseSampler

from benchmarks.efficiency.recording import Recording, Run
from harness.experiment.config import Experiment
from harness.experiment.resolve import resolve_experiment
from harness.journal.journal import Journal
from harness.search.samplers.context import SamplerContext
from harness.search.samplers.ehvi import EhviSampler
from harness.search.search import Pause, Search
from harness.search.searcher import Searcher
from harness.trial.interface import EpochReport, FinalReport
from reports.frontier import hypervolume

Report = EpochReport | FinalReport


class RecordedSearcher(Searcher):
    """The product's sampler, whose suggestions move to the nearest recorded setting not yet used.

    The study holds the setting that was recorded, not the one first suggested, so the sampler
    learns from points that have the values it is told. ``ehvi`` chooses among the recorded
    settings itself: on a continuous space it looks for the best point; the best recorded one takes
    its place.
    """

    recording: Recording
    used: set[str]
    distances: list[float]  # of every suggestion to the setting it became

    @classmethod
    def over(cls, recording: Recording, experiment: Experiment) -> "RecordedSearcher":
        """The searcher of an experiment over a recording of its space."""
        searcher = cls.of(experiment)
        searcher.recording, searcher.used, searcher.distances = recording, set(), []
        return searcher

    def suggest(self, number: int, attempt: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
        """See :meth:`harness.search.searcher.Searcher.suggest`."""
        suggested, notes = super().suggest(number, attempt)
        self.discard(number)
        nearest, distance = self.recording.nearest(suggested, self.used)
        self.used.add(nearest)
        self.distances.append(distance)
        point = self.recording.points[nearest]
        self.include(number, point, notes)
        return point, notes

    def make_sampler(self, kind: type[BaseSampler], context: SamplerContext) -> BaseSampler:
        """See :meth:`harness.search.searcher.Searcher.make_sampler`."""
        sampler = super().make_sampler(kind, context)
        if isinstance(sampler, EhviSampler):
            left = (h for h in self.recording.sampled if h not in self.used)
            sampler.candidates = [self.recording.points[full_hash] for full_hash in left]
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
        searcher = RecordedSearcher.over(recording, experiment)
        # Hashes of the table's settings belong to the data it was recorded on.
        search = Search(experiment, journal, "", workers, searcher=searcher)
        seed = recording.seeds[experiment.seed % len(recording.seeds)]
        return _simulated(search, searcher, recording, seed)


def _simulated(
    search: Search, searcher: RecordedSearcher, recording: Recording, seed: int
) -> Replay:
    """Give every simulated worker something to do until the search is done."""
    objectives = recording.mean_objectives()
    # (time, tie-break, trial, seconds of work, report)
    queue: list[tuple[float, int, str, float, Report]] = []
    order = itertools.count()
    live: dict[str, Iterator[tuple[float, Report]]] = {}
    pretrained: set[int] = set()
    now = spent = 0.0
    curve: list[tuple[float, float]] = []
    completed: list[str] = []

    def begin_next_part(trial_id: str) -> None:
        seconds, report = next(live[trial_id])
        heapq.heappush(queue, (now + seconds, next(order), trial_id, seconds, report))

    def hash_of(trial_id: str) -> str:
        return recording.hash_of(search.state.trials[trial_id].point)

    while True:
        while not isinstance(spec := search.next_trial(), Pause):
            bits = spec.config.model.bits
            # The first trial of a bit length pays for the pretrained model, as in the store.
            before = 0.0 if bits in pretrained else recording.pretraining[bits, seed]
            pretrained.add(bits)
            live[spec.trial_id] = _reports(recording.runs[hash_of(spec.trial_id), seed], before)
            begin_next_part(spec.trial_id)
        if spec is Pause.DONE:
            break
        now, _, trial_id, seconds, report = heapq.heappop(queue)
        spent += seconds
        if isinstance(report, FinalReport):
            search.on_final(trial_id, report)
            completed.append(hash_of(trial_id))
            curve.append((spent, hypervolume([objectives[done] for done in completed])))
        elif not search.on_epoch(trial_id, report):
            begin_next_part(trial_id)
    records = search.state.trials.values()
    cost, volume = np.array(curve).reshape(-1, 2).T
    total = sum(record.cost_s for record in records)
    distance = float(np.median(searcher.distances)) if searcher.distances else 0.0
    return Replay(cost, volume, total, now, len(records), tuple(completed), distance)


def _reports(run: Run, cost: float) -> Iterator[tuple[float, Report]]:
    """(seconds of work, report) of every part of a trial; ``cost`` was spent before."""
    for number, (metrics, own) in enumerate(zip(run.validation, run.seconds, strict=True), 1):
        seconds = own + (cost if number == 1 else 0.0)
        cost += own
        yield seconds, EpochReport(number, metrics, own, cost)
    yield run.final_seconds, FinalReport(len(run.seconds), run.final, cost + run.final_seconds)
