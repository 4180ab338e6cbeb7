import pytest

from tests.unit.engine.peers import Bridge, Peer


@pytest.fixture
def bridge() -> Bridge:
    return Bridge(has_namespaces=True)


@pytest.fixture
async def caller(bridge: Bridge) -> Peer:
    """A worker that has said its name and its process id, as the SDKs do."""
    peer = bridge.connect_greeted()
    await peer.introduce(name="caller", pid=1)
    return peer
