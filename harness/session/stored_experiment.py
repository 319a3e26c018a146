"""The experiment of a run's folder, which somebody else may have made."""

from pathlib import Path

from harness.experiment.config import Experiment
from harness.experiment.file import load_experiment
from reports.run_folder import check_run_folder
from saat.errors import InputError


def read_experiment(run_dir: Path) -> Experiment:
    """The resolved experiment of a search folder."""
    path = run_dir / "experiment.yaml"
    if not path.is_file():
        raise InputError(f"{run_dir}: no such search (no experiment.yaml there)")
    check_run_folder(run_dir)
    experiment, _ = load_experiment(path)
    return experiment
