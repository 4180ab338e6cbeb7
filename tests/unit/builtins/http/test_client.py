"""What runs for a client stops when the client leaves, and only then."""

import asyncio

import pytest

from bridge.builtins.http.client import Client, ClientGoneError


async def test_what_runs_for_a_client_ends_as_it_leaves() -> None:
    client, running = Client(), asyncio.Event()

    async def serve() -> None:
        with client.staying():
            running.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(serve())
    await running.wait()
    client.leave()
    with pytest.raises(ClientGoneError):
        await task


async def test_nothing_begins_for_a_client_that_left() -> None:
    client = Client()
    client.leave()
    with pytest.raises(ClientGoneError), client.staying():
        pytest.fail("nobody is there")


async def test_what_has_ended_is_not_disturbed() -> None:
    client = Client()
    with client.staying():
        pass
    client.leave()
    await asyncio.sleep(0)
    assert not asyncio.current_task().cancelling()


async def test_being_cancelled_from_outside_stays_what_it_is() -> None:
    client, running = Client(), asyncio.Event()

    async def serve() -> None:
        with client.staying():
            running.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(serve())
    await running.wait()
    task.cancel()
    client.leave()
    with pytest.raises(asyncio.CancelledError):
        await task
