"""A journal that is ahead of the checkpoints: nothing is told or decided twice."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness.executors import Executor
from harness.executors.inline import InlineExecutor
from harness.search.schedulers.successive_halving import SuccessiveHalving
from harness.search.search import Search
from harness.trial.interface import EpochReport
from tests.contracts.executor_runs import EXPERIMENT, outcome, run, search_in

# Ray gives its workers the lowest priority; beside other work they take their time.
pytestmark = [pytest.mark.usefixtures("cache"), pytest.mark.timeout(900)]


def with_checkpoints(seconds: float) -> Any:
    resources = EXPERIMENT.resources.model_copy(update={"checkpoint_seconds": seconds})
    return EXPERIMENT.model_copy(update={"resources": resources})


def outcomes(search: Search) -> dict[str, dict[str, Any]]:
    return {trial_id: outcome(record) for trial_id, record in search.state.trials.items()}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    runs_dir = tmp_path_factory.mktemp("reference")
    return outcomes(run(InlineExecutor(), runs_dir, search_in(runs_dir)))


class Died(BaseException):
    """The driver's end, after a report was journaled."""


@pytest.mark.lengthy
def test_a_driver_that_dies_between_checkpoints_finds_the_same_and_decides_once(
    tmp_path: Path, reference: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, int]] = []
    on_epoch, should_stop = Search.on_epoch, SuccessiveHalving.should_stop

    def dying(self: Search, trial_id: str, report: EpochReport) -> bool:
        new = report.epoch > len(self.state.trials[trial_id].epochs)
        told.append((trial_id, report.epoch))
        stops = on_epoch(self, trial_id, report)
        if new and report.epoch == 2:
            raise Died
        return stops

    monkeypatch.setattr(Search, "on_epoch", dying)
    experiment = with_checkpoints(3600)
    for _ in range(9):
        decided: Counter[tuple[str, int]] = Counter()

        def counting(self: Any, trial_id: str, epoch: int, values: Any) -> bool:
            decided[trial_id, epoch] += 1  # noqa: B023
            return should_stop(self, trial_id, epoch, values)

        with monkeypatch.context() as patch:
            patch.setattr(SuccessiveHalving, "should_stop", counting)
            search = search_in(tmp_path, experiment)
            try:
                run(InlineExecutor(), tmp_path, search)
                break
            except Died:
                continue
    assert search.state.finished
    assert outcomes(search) == reference
    assert max(Counter(told).values()) > 1, "no epoch was repeated"
    assert set(decided.values()) == {1}, "a resumed search decides on each epoch once"
    for trial_id, record in search.state.trials.items():
        epochs = [event["epoch"] for event in record.epochs]
        assert epochs == list(range(1, len(epochs) + 1)), trial_id


def test_checkpoints_beside_the_training_change_nothing_and_stopped_trials_leave_none(
    executor: Executor, tmp_path: Path, reference: dict[str, Any]
) -> None:
    search = run(executor, tmp_path, search_in(tmp_path, with_checkpoints(1e-6)))
    assert outcomes(search) == reference
    stopped = [r for r in search.state.trials.values() if r.status == "stopped"]
    assert stopped
    for record in stopped:
        folder = tmp_path / "contract" / "trials" / record.spec.trial_id
        assert not list(folder.glob("checkpoint/*"))
