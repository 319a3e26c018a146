"""``--set defense.method=…`` on a file of another method: refused with the way that works."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from harness.experiment.file import load_experiment
from saat.defenses import DEFENSES
from saat.errors import InputError

SHIPPED = [
    path
    for path in sorted((Path(__file__).parents[2] / "search_spaces").glob("*.yaml"))
    if "defense:" in path.read_text() and path.name != "saat_lambda_mu.yaml"  # has no data here
]


def overrides(command: str) -> list[str]:
    words = shlex.split(command)
    return [value for option, value in pairwise(words) if option == "--set"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
@pytest.mark.parametrize("method", ["none", *(name for name in DEFENSES if name != "saat")])
def test_the_commands_that_it_names_are_accepted(path: Path, method: str) -> None:
    try:
        alone, _ = load_experiment(path, [f"defense.method={method}"])
    except InputError as error:
        (fault,) = error.faults
        found = re.search(r"alone: (saat train .*?); beside (\w+): (saat compare .*)", fault)
        assert found is not None, fault
        alone, _ = load_experiment(path, overrides(found[1]))
        compared, _ = load_experiment(path, overrides(found[3]))
        written = load_experiment(path)[0].defense.model_dump()["method"]
        assert found[2] == written
        assert compared.compare == {written: {}, method: {"defense.method": method}}
        assert alone.space == {}
    assert alone.defense.model_dump()["method"] == method


def test_keys_that_the_other_method_has_are_no_fault() -> None:
    cgat, _ = load_experiment(SHIPPED[0], ["defense.method=cgat", "compare={}"])
    assert cgat.defense.model_dump()["epochs"] == 8


def test_the_rest_of_the_file_is_checked_as_well() -> None:
    with pytest.raises(InputError) as caught:
        load_experiment(SHIPPED[0], ["defense.method=none", "model.bits=0"])
    method, bits = caught.value.faults
    assert "defense.method=none: none does not know defense.epochs and is not what" in method
    assert bits.endswith("model.bits: 0: at least 1")
