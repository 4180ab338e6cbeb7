import pytest

from tests.unit.engine.peers import Bridge


@pytest.fixture
def bridge() -> Bridge:
    return Bridge()


@pytest.fixture
def namespaced() -> Bridge:
    return Bridge(has_namespaces=True)
