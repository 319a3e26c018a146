import pytest

from saat.data import HashingData
from saat.models import HashingNetwork
from tests import toy


@pytest.fixture(scope="session")
def data() -> HashingData:
    return toy.toy_data()


@pytest.fixture(scope="session")
def trained(data: HashingData) -> HashingNetwork:
    """A briefly pretrained network; tests must leave it as it is."""
    return toy.pretrained(data)
