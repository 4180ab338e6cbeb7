"""Clients for other people's namespaces go the way that the bridge itself goes."""

from temporalio.client import Client

from bridge.temporal.connection import TemporalAddress, TemporalConnection
from bridge.temporal.interop.access import Namespaces


async def test_another_namespace_is_reached_with_the_certificates_of_now() -> None:
    connection = TemporalConnection(TemporalAddress("unused:1", "home"))
    namespaces = Namespaces([connection])
    for _ in range(2):
        connection._client = await Client.connect("unused:1", namespace="home", lazy=True)
        other = namespaces.client("other")
        assert other.namespace == "other"
        assert other.service_client is connection.client.service_client
        assert namespaces.client("other") is other
