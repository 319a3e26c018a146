"""What a worker imports before its first step is waited for in every process of every search."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from pathlib import Path
from harness.executors import ray_worker
from tests.harness.tiny import context_of, spec_of, tiny
experiment = tiny({"defense.epochs": 1, "pretrain.epochs": 1})
reports = ray_worker.reports_of(spec_of(experiment), context_of(experiment, Path(sys.argv[1])))
print([type(report).__name__ for report in reports])
costly = {"torch._dynamo", "sympy", "scipy.stats", "sklearn", "mlflow"}
print(sorted((costly | {"harness.search.searcher"}) & set(sys.modules)))
"""


def test_a_trial_loads_no_compiler_no_sampler_and_no_tracker(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['EpochReport', 'FinalReport']", "[]"]
