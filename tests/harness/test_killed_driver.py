"""The driver killed in the middle of a search; tests/chaos does it under Ray."""

from pathlib import Path

import pytest

from tests.harness.killed_driver import check_killed, undisturbed


@pytest.mark.lengthy
@pytest.mark.timeout(1800)
def test_a_killed_and_resumed_search_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    (tmp_path / "undisturbed").mkdir()
    check_killed("inline", 4, undisturbed(tmp_path / "undisturbed"), tmp_path)
