"""What the product leans on in Ray, Optuna and MLflow; a new version that changes it fails here."""

import ctypes
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

COMPLETE, FAIL, RUNNING = (
    optuna.trial.TrialState.COMPLETE,
    optuna.trial.TrialState.FAIL,
    optuna.trial.TrialState.RUNNING,
)
FLOAT = optuna.distributions.FloatDistribution(0, 1)


def study(sampler: optuna.samplers.BaseSampler | None = None) -> optuna.Study:
    return optuna.create_study(directions=["maximize", "maximize"], sampler=sampler)


def added(to: optuna.Study, x: float, state: Any, values: list[float] | None = None) -> None:
    to.add_trial(
        optuna.create_trial(state=state, params={"x": x}, distributions={"x": FLOAT}, values=values)
    )


def test_optuna_takes_a_running_trial_and_lets_it_be_told() -> None:
    found = study()
    added(found, 0.5, RUNNING)
    newest = found.get_trials(deepcopy=False)[-1]
    trial = optuna.trial.Trial(found, newest._trial_id)  # noqa: SLF001  as the searcher does
    trial.set_constraint("floor", -1.0)
    found.tell(trial, values=[0.1, 0.2])
    (told,) = found.trials
    assert (told.state, told.values, told.params) == (COMPLETE, [0.1, 0.2], {"x": 0.5})


@pytest.mark.parametrize("kind", [optuna.samplers.TPESampler, optuna.samplers.NSGAIISampler])
def test_optuna_samplers_ignore_failed_trials(kind: Any) -> None:
    """Suggestions thrown away as duplicates are told FAIL and are not in the journal."""
    options = {"n_startup_trials": 4} if kind is optuna.samplers.TPESampler else {}
    points = []
    for failures in (0, 5):
        found = study(kind(seed=3, **options))
        for number in range(8):
            added(found, number / 8, COMPLETE, [number / 8, 1 - number / 8])
        for _ in range(failures):
            added(found, 0.99, FAIL)
        points.append(found.ask().suggest_float("x", 0, 1))
    assert points[0] == points[1]


def test_optuna_never_completes_a_trial_whose_value_is_no_number() -> None:
    found = study()
    found.tell(found.ask(), values=[float("nan"), 0.5])
    assert found.trials[0].state == FAIL
    found.tell(found.ask(), values=[float("inf"), 0.5])  # this one is taken: the searcher guards
    assert found.trials[1].state == COMPLETE


def test_optunas_nsga2_keeps_parents_in_the_study_and_so_needs_ours() -> None:
    found = study(optuna.samplers.NSGAIISampler(seed=0, population_size=2))
    for number in range(3):
        trial = found.ask()
        trial.suggest_float("x", 0, 1)
        if number < 2:
            found.tell(trial, values=[number, 1 - number])
    kept = found._storage.get_study_system_attrs(0)  # noqa: SLF001  which Optuna shows nowhere
    assert any("parent:1" in key for key in kept)


def test_optuna_seeds_the_whole_sampler_with_32_bits() -> None:
    sampler = optuna.samplers.RandomSampler(seed=2**32 - 1)
    assert 0 <= study(sampler).ask().suggest_float("x", 0, 1) <= 1
    with pytest.raises(ValueError, match="Seed must be between"):
        np.random.RandomState(2**32)


@pytest.fixture(scope="module")
def mlflow_client(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    store = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    return MlflowClient(f"sqlite:///{store}")


def test_mlflow_finds_runs_by_tags_with_dots(mlflow_client: MlflowClient) -> None:
    experiment = mlflow_client.create_experiment("tags")
    run = mlflow_client.create_run(experiment, tags={"saat.trial_id": "a-1", "saat.search_id": "s"})
    mlflow_client.create_run(experiment, tags={"saat.trial_id": "a-2", "saat.search_id": "s"})
    wanted = "tags.`saat.search_id` = 's' and tags.`saat.trial_id` = 'a-1'"
    assert [r.info.run_id for r in mlflow_client.search_runs([experiment], wanted)] == [
        run.info.run_id
    ]


def test_mlflow_takes_slashes_and_dots_in_metrics_and_refuses_an_at(
    mlflow_client: MlflowClient,
) -> None:
    run = mlflow_client.create_run(mlflow_client.create_experiment("names")).info.run_id
    mlflow_client.log_metric(run, "reattack/map.hag", 0.5, step=3)
    assert [m.step for m in mlflow_client.get_metric_history(run, "reattack/map.hag")] == [3]
    with pytest.raises(MlflowException, match="Invalid"):
        mlflow_client.log_metric(run, "map@100", 0.5)


def test_mlflow_params_cannot_change(mlflow_client: MlflowClient) -> None:
    run = mlflow_client.create_run(mlflow_client.create_experiment("params")).info.run_id
    mlflow_client.log_param(run, "defense.lambda", "1.0")
    mlflow_client.log_param(run, "defense.lambda", "1.0")
    with pytest.raises(MlflowException, match=r"Changing param values|already logged"):
        mlflow_client.log_param(run, "defense.lambda", "2.0")


def dies_once(config: dict[str, Any]) -> None:
    from ray import tune

    tune.report({"nested": {"value": 1}, "text": '{"value": 1}'})
    marker = Path(config["marker"])
    if not marker.exists():
        marker.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.ray
def test_tune_flattens_results_and_tells_schedulers_of_deaths_it_recovers_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray
    from ray import tune
    from ray.tune.schedulers import FIFOScheduler

    from harness.executors.ray_cluster import connect

    calls: list[Any] = []

    class Listening(FIFOScheduler):
        def __deepcopy__(self, memo: Any) -> "Listening":
            return self

        def __getstate__(self) -> dict[str, Any]:
            return {}

        def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
            calls.append(result)
            return "CONTINUE"

        def on_trial_error(self, controller: Any, trial: Any) -> None:
            calls.append("error")

        def on_trial_complete(self, controller: Any, trial: Any, result: Any) -> None:
            calls.append("complete")

    raylet: Any = ray._raylet  # noqa: SLF001  where Ray keeps the class
    # Ray's core worker would take SIGTERM over, not by way of Python, and abort on it.
    handlers, core_worker = [ctypes.pythonapi.PyOS_getsig(signal.SIGTERM)], raylet.CoreWorker

    def made(*given: Any) -> Any:
        worker = core_worker(*given)
        handlers.append(ctypes.pythonapi.PyOS_getsig(signal.SIGTERM))
        return worker

    monkeypatch.setattr(raylet, "CoreWorker", made)
    connect(None, cpus=1)
    assert handlers == [handlers[0]] * 2
    try:
        tune.Tuner(
            dies_once,
            param_space={"marker": str(tmp_path / "marker")},
            tune_config=tune.TuneConfig(scheduler=Listening()),  # type: ignore[no-untyped-call]
            run_config=tune.RunConfig(
                storage_path=str(tmp_path),
                failure_config=tune.FailureConfig(max_failures=1),
                verbose=0,
            ),
        ).fit()
    finally:
        ray.shutdown()
    first, error, again, complete = calls
    assert (error, complete) == ("error", "complete")
    for result in (first, again):
        assert result["nested/value"] == 1
        assert "nested" not in result
        assert result["text"] == '{"value": 1}'
