"""Two thousand generated experiment files: each is accepted and sane, or refused in lines."""

import random
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from harness.experiment.config import Experiment
from harness.experiment.file import load_experiment
from harness.experiment.resolve import resolve_experiment
from harness.experiment.strata import strata
from harness.experiment.yaml_file import parse_yaml
from harness.session.sizes import DataSizes, size_of_search
from harness.session.stage_costs import stages_of_search
from harness.session.trial_costs import Case, TrialCosts
from saat.errors import InputError
from tests.harness.generated_files import bases, generate, written

pytestmark = pytest.mark.lengthy

FILES, PARTS = 2000, 4
_HANGS_S = 20.0  # of the processor, which waits for no other process


@contextmanager
def ended_if_it_hangs() -> Iterator[None]:
    """Raise where the code within is still running after many times what it needs."""

    def give_up(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"still running after {_HANGS_S:g} s")

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, _HANGS_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def check_accepted(experiment: Experiment) -> None:
    """It is stored and read as it is, and what a dry run would count is finite."""
    dump = experiment.dump()
    assert resolve_experiment(parse_yaml(written(dump)), "dump") == experiment
    plan = size_of_search(experiment, "data", set())
    parts = len(strata(experiment))
    assert 0 <= plan.sampled <= parts * experiment.search.num_samples
    assert 0 <= plan.confirmed <= parts * (experiment.confirm.max_configs + 2)
    epochs = [epoch for epoch, _ in plan.rungs]
    assert epochs == sorted(set(epochs))
    for stage in stages_of_search(experiment, plan, TrialCosts(experiment, SIZES)):
        assert all(0 <= stage.passes(case) < float("inf") for case in CASES)


SIZES = DataSizes(1000, 2000, 2000, 100, 200, 2300, 1000)
CASES: tuple[Case, ...] = ("least", "expected", "most")


@pytest.mark.parametrize("part", range(PARTS))
def test_a_generated_file_is_accepted_and_sane_or_refused_in_lines(
    part: int, seed: int, tmp_path: Path
) -> None:
    file, known, outcomes = tmp_path / "e.yaml", bases(), Counter[str]()
    for number in range(part, FILES, PARTS):
        draw = random.Random(f"{seed} {number}")
        generated = generate(draw, draw.choice(known))
        file.write_bytes(generated.content)
        try:
            with ended_if_it_hangs():
                experiment, _ = load_experiment(file, generated.overrides)
                check_accepted(experiment)
            outcomes["accepted"] += 1
        except InputError as error:
            outcomes["refused"] += 1
            for fault in error.faults:
                assert fault.startswith((str(file), "--set")), (number, fault)
                assert fault.isprintable(), (number, fault)
                assert len(fault) < 1000, (number, fault)
        except BaseException as error:
            error.add_note(f"file {number} of seed {seed}: {generated}"[:2000])
            raise
    assert outcomes["accepted"] > FILES / PARTS / 10  # as many that nothing is said against
    assert outcomes["refused"] > FILES / PARTS / 2
