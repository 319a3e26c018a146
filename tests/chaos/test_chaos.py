"""A seeded selection of the faults of ``make chaos``: at least eight of them, struck for real."""

from pathlib import Path

import pytest

from tests.chaos.draw import Where, draw
from tests.chaos.runner import Undisturbed, run, unavailable, undisturbed

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chaos")


@pytest.fixture(scope="module")
def reference(folder: Path) -> Undisturbed:
    return undisturbed(folder / "undisturbed")


# A worker may be gone, or the search at its end, when the moment of a fault has come.
@pytest.mark.parametrize(
    ("where", "seed", "count", "least"), [("inline", 1, 5, 5), ("ray", 1, 4, 3)]
)
def test_nothing_is_lost_and_nothing_counted_twice(
    where: Where, seed: int, count: int, least: int, folder: Path, reference: Undisturbed
) -> None:
    reason = unavailable(where)
    if reason:
        pytest.skip(reason)
    outcome = run(draw(seed, where, count), folder / f"{where}-{seed}", reference)
    struck = [f"{strike.kind}, {strike.moment}" for strike in outcome.strikes]
    assert outcome.problems == [], struck
    assert len(struck) >= least, struck
