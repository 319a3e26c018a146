"""One finished run, which tests read and never change."""

import pytest

from reports.confirmed import ConfirmedConfig, confirmed_configs
from reports.results import SearchResults, load_search
from tests.reports.synthetic import write_run


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> SearchResults:
    return load_search(write_run(tmp_path_factory.mktemp("runs") / "run"))


@pytest.fixture(scope="session")
def configs(results: SearchResults) -> list[ConfirmedConfig]:
    return confirmed_configs(results)
