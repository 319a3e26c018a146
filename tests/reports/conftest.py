"""One finished run, which tests read and never change."""

from collections.abc import Iterator

import pytest

from reports.confirmed import ConfirmedConfig, confirmed_configs
from reports.results import SearchResults, load_search
from tests.reports.pictures import left_empty
from tests.reports.synthetic import write_run


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> SearchResults:
    return load_search(write_run(tmp_path_factory.mktemp("runs") / "run"))


@pytest.fixture(scope="session")
def configs(results: SearchResults) -> list[ConfirmedConfig]:
    return confirmed_configs(results)


@pytest.fixture
def quick_pictures() -> Iterator[None]:
    with left_empty():
        yield
