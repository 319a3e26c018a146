"""The page of one finished run, which tests look at and never change."""

from pathlib import Path

import pytest

from tests.browser.devtools import CHROMIUM
from tests.browser.pages import Look, looking_at, report_page


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="session")
def content(folder: Path) -> str:
    if not CHROMIUM:
        pytest.skip("no Chromium")
    return report_page(folder).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def look(content: str, folder: Path) -> Look:
    return looking_at(content, folder)
