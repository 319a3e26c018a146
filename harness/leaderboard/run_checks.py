"""Checks before a run's settings enter a leaderboard: finished, of one protocol, verified."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.evaluation.models import read_model
from harness.evaluation.verify import verify
from harness.experiment.config import Experiment, TrialConfig
from harness.experiment.section import parsed
from harness.experiment.sections import EvaluationSection
from harness.journal.journal import Event
from harness.journal.state import SearchState, TrialRecord, load_state
from harness.session.resume_checks import check_resumed_protocol, read_stored
from reports.confirmed import ConfirmedConfig, confirmed_configs
from reports.explored import bits_label
from reports.results import SearchResults, load_search
from reports.run_folder import trial_folder
from saat.errors import InputError, did_you_mean, one_line
from saat.wording import counted

LEAST_DIGITS = 8  # of a hash that names a setting or a protocol


@dataclass(frozen=True)
class FinishedRun:
    """A run that has ended, and whose tables, journal and experiment are of one protocol."""

    path: Path
    experiment: Experiment
    started: Event
    state: SearchState
    results: SearchResults

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.results.name

    def records(self, config: ConfirmedConfig) -> list[TrialRecord]:
        """The journal's records of a setting's trials, in the order of seeds."""
        return [self.state.trials[str(trial)] for trial in config.trials["trial_id"]]


def finished_run(run_dir: Path) -> FinishedRun:
    """Read a run, and check that it has ended and measured by the formulas of this release.

    Raises:
        InputError: it goes on, was measured under another protocol, or its files disagree.
    """
    experiment, _ = read_stored(run_dir)
    started, state = load_state(run_dir)
    name = run_dir.name
    if not state.finished:
        raise InputError(f"{name}: has not ended; allowed: a finished run (saat resume {name})")
    check_resumed_protocol(experiment, started, run_dir / "experiment.yaml")
    results = load_search(run_dir)
    if results.protocol_hashes != {started["protocol_hash"]}:
        raise InputError(f"{run_dir / 'trials.parquet'}: trials of another protocol than the run's")
    return FinishedRun(run_dir, experiment, started, state, results)


def role_of(config: ConfirmedConfig) -> str:
    """The role of a setting in words, without the doubts that its label has."""
    return config.role_label.partition(" [")[0]


def label_of(config: ConfirmedConfig) -> str:
    """A confirmed setting in words, such as ``recommended A, 32 bits``."""
    return f"{role_of(config)}, {bits_label(config.bits)}"


def chosen(run: FinishedRun, setting: str | None) -> list[ConfirmedConfig]:
    """The confirmed settings of a run that ``setting`` names; all without one.

    ``setting`` is the label of one (:func:`label_of`), a role, or the beginning of a config hash.

    Raises:
        InputError: the run confirmed none, or no such one.
    """
    # A setting under two roles is one entry.
    configs = list({c.config_hash: c for c in reversed(confirmed_configs(run.results))}.values())
    configs.reverse()
    if not configs:
        raise InputError(f"{run.name}: no setting was measured on test queries")
    if setting is None:
        return configs
    is_hash = len(setting) >= LEAST_DIGITS
    found = [
        config
        for config in configs
        if setting in (label_of(config), config.role)
        or (is_hash and config.config_hash.startswith(setting))
    ]
    if not found:
        labels = [label_of(config) for config in configs]
        shown = one_line("; ".join(labels), 240)
        hint = did_you_mean(setting, labels)
        raise InputError(
            f"--setting {one_line(setting, 60) or repr(setting)}: one of: {shown}{hint}"
        )
    return found


def check_trials(run: FinishedRun, config: ConfirmedConfig) -> None:
    """Check that what was trained and measured is what journal and experiment say.

    Raises:
        InputError: a trial that the journal does not have, a model of another setting or
            protocol, or no images to verify its numbers with.
    """
    for row in config.trials.to_dict("records"):
        trial_id = str(row["trial_id"])
        folder = trial_folder(run.path, trial_id)
        record = run.state.trials.get(trial_id)
        if (
            record is None
            or record.config_hash != row["config_hash"]
            or (record.spec.seed != row["seed"])
        ):
            raise InputError(f"{run.path / 'trials.parquet'}: {trial_id}: not as in the journal")
        if not (folder / "adversarial.npz").is_file():
            raise InputError(f"{folder}: kept no attacked images, so it cannot be verified")
        _check_model(run, record, folder)


def _check_model(run: FinishedRun, record: TrialRecord, folder: Path) -> None:
    """The model brings along the protocol by which it is verified, so that has to be the run's."""
    model = read_model(folder)
    try:
        setting = parsed(TrialConfig, model.meta["setting"])
        evaluation = parsed(EvaluationSection, model.meta["evaluation"], "evaluation")
    except InputError as error:
        raise InputError(*(f"{model.path}: {fault}" for fault in error.faults)) from None
    same = {
        "setting": setting.dump() == record.config.dump(),
        "evaluation": evaluation == run.experiment.evaluation,
        "data_fingerprint": model.meta["data_fingerprint"] == run.started["data_fingerprint"],
        "seed": model.meta["seed"] == record.spec.seed,
    }
    for key, is_same in same.items():
        if not is_same:
            raise InputError(f"{model.path}: {key}: not that of the run, so of another protocol")


def verified_numbers(
    run: FinishedRun, cache_dir: str | None, say: Callable[[str], None], allow: Sequence[Path]
) -> int:
    """Recompute the run's numbers as ``saat verify`` does; how many there were.

    Raises:
        InputError: a number is not what the stored images give.
    """
    found = verify(run.path, cache_dir, say, allow)
    if found.wrong:
        wrong = counted(len(found.wrong), "number is", "numbers are")
        raise InputError(
            f"{run.name}: refused: {wrong} not what the images give, the first: {found.wrong[0]}"
        )
    return found.numbers
