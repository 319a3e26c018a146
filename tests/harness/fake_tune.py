"""Ray Tune as far as it asks for trials, one at a time, and keeps their statuses."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import tune
from ray.tune.experiment import Trial

from harness.executors.ray_tune import RayTuneExecutor
from harness.search.search import Search
from tests.harness.tiny import context_of


class FakeTune:
    """Holds the searcher and the scheduler that the executor gives to Tune."""

    def __init__(self, search: Search, runs_dir: Path, follow: bool = False) -> None:
        self.search = search
        self.trials: list[Any] = []

        def tuner(*_: Any, tune_config: Any, **__: Any) -> Any:
            self.searcher, self.scheduler = tune_config.search_alg, tune_config.scheduler
            return SimpleNamespace(fit=lambda: None)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tune, "Tuner", tuner)
            context = context_of(search.experiment, runs_dir)
            RayTuneExecutor(1, 0.0, follow).run(search, context, lambda *_: None)

    def ask(self) -> str:
        """Our id of the trial that is begun; empty where there is none to begin."""
        name = f"tune{len(self.trials)}"
        config = self.searcher.suggest(name)
        if config is None:
            return ""
        trial = SimpleNamespace(
            trial_id=name,
            status=Trial.PENDING,
            config=config,
            pickled_error_file=None,
            error_file=None,
        )
        self.trials.append(trial)
        self.scheduler.on_trial_add(None, trial)
        return str(config["trial_id"])

    def lost(self) -> list[tuple[str, bool]]:
        """Trials whose workers the search counts as lost, and whether their nodes are."""
        events = [event for event in self.search.journal.events if event["event"] == "lost"]
        return [(event["trial_id"], event["node"]) for event in events]
