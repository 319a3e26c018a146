"""The model of a whole search at its end: the surrogate of ``ehvi``, whatever sampler was used.

It learns as the sampler does (:mod:`harness.search.samplers.ehvi.model`): from every explore trial
that finished an epoch, with the ends of stopped trials forecast. Trials at chance teach it nothing,
and trials far below the front count for less where they contradict the others. With
``search.each`` one model covers all values of that key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.experiment.config import Experiment
from harness.experiment.configs import config_at
from harness.journal.state import TrialRecord, metrics_of
from harness.search.recommendation import usable
from harness.search.samplers.context import SearchedObjective
from harness.search.samplers.ehvi.encoding import Point, SpaceEncoding
from harness.search.samplers.ehvi.model import Fit
from harness.search.samplers.ehvi.sampler import EhviSampler
from harness.search.samplers.ehvi.study_trials import Scale, observation
from harness.search.searcher import Searcher
from reports.explanation import Estimate
from saat.feasibility import Aims, Objective, is_collapsed
from saat.metrics import OBJECTIVES

FEWEST_TRIALS = 8  # completed ones above chance, below which the model would be its prior


class FinalModel:
    """Predicts the objectives of a search, and clean and robust MAP, at any point of its space.

    Args:
        experiment: of the search.
        records: explore trials, with an end.

    Attributes:
        names: plain names of the metrics.
        points: trial id → its point, of the completed trials that the model learned from. A point
            has a value for every searched key that applies.
    """

    def __init__(self, experiment: Experiment, records: Sequence[TrialRecord]) -> None:
        self._space, self._base = experiment.space, experiment.config.flat()
        aims = _with_maps(experiment.aims)
        self.names = aims.names
        searcher = Searcher(  # without a prior, for it is never asked
            experiment.space,
            lambda point: config_at(experiment, point).flat(),
            EhviSampler,
            experiment.seed,
            experiment.search.num_samples,
            aims,
        )
        self.points: dict[str, Point] = {}
        for number, record in enumerate(records):
            if _tell(searcher, aims, number, record):
                trial = searcher.study.get_trials(deepcopy=False)[-1]
                self.points[record.spec.trial_id] = trial.params
        trials = searcher.study.get_trials(deepcopy=False)
        known = [SearchedObjective(o.maximise, o.reference, o.best) for o in aims.objectives]
        self._scale = Scale(searcher.study.directions, known, trials)
        self._encoding = SpaceEncoding({key: d.distribution() for key, d in self._space.items()})
        self._observations = [observation(t, self._scale, self._space) for t in trials]
        self._fit: Fit | None = None

    def predict(self, point: Mapping[str, Any]) -> dict[str, Estimate]:
        """Every metric of a setting, by its plain name."""
        return self.average([point])

    def average(self, points: Sequence[Mapping[str, Any]]) -> dict[str, Estimate]:
        """Every metric, averaged over settings."""
        if self._fit is None:
            self._fit = Fit(self._encoding, self._observations, len(self.names))
        found = self._scale.back(*self._fit.average(self._encoding.encode(points)))
        pairs = zip(*(part.tolist() for part in found), strict=True)
        return {name: Estimate(*pair) for name, pair in zip(self.names, pairs, strict=True)}

    def changed(self, point: Mapping[str, Any], changes: Mapping[str, Any]) -> Point:
        """A point with other values of some keys, and the keys that apply then.

        A key that begins to apply has no value unless ``changes`` have one.
        """
        new: Point = {}
        for key, dimension in self._space.items():
            given = changes if key in changes else point
            if key in given and dimension.applies({**self._base, **new}):
                new[key] = given[key]
        return new


def _with_maps(aims: Aims) -> Aims:
    """The aims with clean and robust MAP among the objectives."""
    more = [Objective(name, True, 0.0) for name in OBJECTIVES if name not in aims.names]
    return replace(aims, objectives=(*aims.objectives, *more), preference=None)


def _tell(searcher: Searcher, aims: Aims, number: int, record: TrialRecord) -> bool:
    """Add a trial to the study; whether it is there, with an end that was measured."""
    before = len(searcher.study.get_trials(deepcopy=False))
    searcher.include(number, record.point, record.notes)
    for event in record.epochs:
        searcher.observe(number, aims.validation_values(metrics_of(event)))
    completed = usable(aims, record) and not is_collapsed(record.metrics)
    if completed:
        searcher.tell(number, "completed", aims.values(record.metrics))
    else:
        searcher.tell(number, "stopped" if record.status == "stopped" else "failed")
    return completed and len(searcher.study.get_trials(deepcopy=False)) > before
