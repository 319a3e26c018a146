import gc
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from functools import cache, partial
from itertools import chain, combinations
from pathlib import Path

import pytest
import torch
from _pytest.mark.expression import Expression
from hypothesis import settings

from harness.tracking import store

# Tests share few cores with whatever else runs; results must not depend on the number of threads
# and small nets are fastest on one.
torch.set_num_threads(1)

# Shared machines stall; a slow example is no failure. Derandomised: equal code, equal verdict.
settings.register_profile("saat", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("saat")

# Ray reads it once a process; whatever starts Ray later in this one must not have another.
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


# Files that take minutes, in the order they begin in: one that began last would be waited for by
# all other processes.
_LONG = (
    "saat/test_reliability_digits.py",
    "cluster/test_multi_host.py",
    "chaos/test_chaos.py",
    "saat/test_defenses_digits.py",
    "cluster/test_preflight_hosts.py",
    "harness/test_killed_driver.py",
    "test_scale.py",
    "reports/test_html.py",
    "contracts/test_lost_workers.py",
    "contracts/test_executor_faults.py",
    "contracts/test_executors.py",
    "contracts/test_attacks.py",
    "harness/test_bad_input.py",
    "harness/test_generated_files.py",
    "test_extending.py",
    "test_tutorials.py",
    "test_site.py",
    "harness/test_tracking.py",
    "harness/test_search.py",
    "harness/test_pareto_model.py",
    "test_efficiency.py",
    "saat/data/test_digits.py",
)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave files alone in which no test can be meant by ``-m``: importing all takes half a minute.

    The marks of a test are some of those that its file and the conftest files above it name, which
    is checked where a file is imported.
    """
    if not config.option.markexpr or not collection_path.match("test_*.py"):
        return None
    named = sorted(_named_marks(collection_path))
    subsets = chain.from_iterable(combinations(named, n) for n in range(len(named) + 1))
    meant = Expression.compile(config.option.markexpr).evaluate
    return None if any(meant(partial(_among, set(marks))) for marks in subsets) else True


@cache
def _named_marks(file: Path) -> frozenset[str]:
    above = [folder / "conftest.py" for folder in file.parents]
    text = "".join(path.read_text() for path in (file, *above) if path.is_file())
    return frozenset(re.findall(r"mark\.(\w+)", text))


def _among(marks: set[str], name: str, /, **_: object) -> bool:
    return name in marks


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; all others as they were found. No mark that the text does not name."""
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        if unnamed := marks - _named_marks(item.path):
            problem = f"{item.nodeid}: write pytest.mark.{unnamed.pop()} out in its file"
            raise pytest.UsageError(problem)
    here = Path(__file__).parent
    place = {here / name: number for number, name in enumerate(_LONG)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


def pytest_collection_finish() -> None:
    """What importing and collecting made is never garbage; looking through it takes 0.3 s each."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def quick_collection() -> None:
    """For tests of scarce memory, which is collected again and again: what is there now stays."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def tracking_tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """MLflow makes its tables, 50 migrations, once a process; later stores get a copy of them.

    Searches in processes of their own, which have no fixtures, always have MLflow make them.
    """
    make = store._make
    made = tmp_path_factory.mktemp("tracking") / "made.db"

    def copied(path: Path) -> None:
        if not made.exists():
            make(made)
        shutil.copyfile(made, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_make", copied)
        yield
