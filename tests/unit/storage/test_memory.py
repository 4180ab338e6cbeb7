import pytest

from bridge.storage import KeyValueStore, MemoryStore
from tests.unit.storage.store_contract import KeyValueStoreContract


class TestMemoryStore(KeyValueStoreContract):
    @pytest.fixture
    def store(self) -> KeyValueStore:
        return MemoryStore()
