"""A seeded selection of the faults of ``make chaos``: eight of them, struck for real."""

from pathlib import Path

import pytest

from tests.chaos.draw import Where, draw
from tests.chaos.runner import Undisturbed, run, unavailable, undisturbed

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return undisturbed(tmp_path_factory.mktemp("undisturbed") / "bench")


@pytest.mark.parametrize(("where", "seed", "count"), [("inline", 1, 4), ("ray", 1, 4)])
def test_nothing_is_lost_and_nothing_counted_twice(
    where: Where, seed: int, count: int, reference: Undisturbed, tmp_path: Path
) -> None:
    reason = unavailable(where)
    if reason:
        pytest.skip(reason)
    outcome = run(draw(seed, where, count), tmp_path / "bench", reference)
    struck = [f"{strike.kind}, {strike.moment}" for strike in outcome.strikes]
    assert outcome.problems == [], struck
    assert len(struck) == count, struck
