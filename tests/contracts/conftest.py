import os
from collections.abc import Iterator

import pytest

from harness.executors import Executor
from harness.executors.inline import InlineExecutor
from saat.data import RetrievalData
from saat.models import HashingNetwork
from tests import toy
from tests.harness.tiny import shared_cache


@pytest.fixture(scope="session")
def data() -> RetrievalData:
    return toy.toy_data()


@pytest.fixture(scope="session")
def trained(data: RetrievalData) -> HashingNetwork:
    """A briefly pretrained network; tests must leave it as it is."""
    return toy.pretrained(data)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Images of the searches, decoded; and the variable that names their place."""
    before = os.environ.get("SAAT_CACHE")
    shared_cache(tmp_path_factory)
    RetrievalData.named("digits_mini", image_size=16, val_queries=40)
    yield
    os.environ.pop("SAAT_CACHE")
    if before is not None:
        os.environ["SAAT_CACHE"] = before


@pytest.fixture(scope="module")
def ray_executor(cache: None) -> Iterator[Executor]:
    """One Ray for the module; it ends with it."""
    import ray

    from harness.executors.ray_cluster import connect
    from harness.executors.ray_tune import RayTuneExecutor

    connect(None, cpus=2)
    yield RayTuneExecutor(1, 0.0)
    ray.shutdown()


@pytest.fixture(scope="module", params=["inline", pytest.param("ray", marks=pytest.mark.ray)])
def executor(request: pytest.FixtureRequest, cache: None) -> Executor:
    if request.param == "inline":
        return InlineExecutor()
    found: Executor = request.getfixturevalue("ray_executor")
    return found
