"""The driver of a search on Ray killed in the middle."""

from pathlib import Path

import pytest

from tests.harness.killed_driver import check_killed, undisturbed


@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("cache")
def test_a_killed_and_resumed_search_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    (tmp_path / "undisturbed").mkdir()
    check_killed("ray", 2, undisturbed(tmp_path / "undisturbed"), tmp_path)
