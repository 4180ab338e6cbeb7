"""The real SDKs of iii as processes beside a whole bridge, driven by what they offer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.conformance.sdk_worker import Program, Sdk, running_program
from tests.support.fake_sdk import CallFailed, FakeSdk
from tests.support.running_bridge import RunningBridge
from tests.support.waiting import eventually

__all__ = ["SDKS", "RealSdk", "real_sdk"]

SDKS = [Sdk("python", "0.25.0"), Sdk("node", "0.22.1")]
START_LIMIT_S = 30


class RealSdk:
    """A client of `tests/conformance/clients`, and the test's way to it.

    Attributes:
        driver: Another worker of the same bridge, through which the test calls.
    """

    def __init__(self, driver: FakeSdk, name: str, program: Program) -> None:
        self.driver = driver
        self._name = name
        self._program = program

    def function(self, name: str) -> str:
        """Return the id of one of its functions."""
        return f"{self._name}::{name}"

    async def run(self, name: str, data: Any = None) -> Any:
        """Call one of its functions."""
        return await self.driver.trigger(self.function(name), {} if data is None else data)

    async def call(self, function_id: str, payload: Any, **options: Any) -> Any:
        """Have the SDK call a function, and return what it got.

        Raises:
            CallFailed: The SDK got an error.
        """
        told = await self.run("call", {"function_id": function_id, "payload": payload, **options})
        if "code" in told:
            raise CallFailed(told["code"], told["message"])
        return told.get("result")

    async def kill(self) -> None:
        """End the process as `kill -9` does."""
        self._program.process.kill()
        await self._program.process.wait()

    async def is_on_offer(self) -> bool:
        """Tell whether its last function can be called."""
        try:
            return bool(await self.run("temporary") == "here")
        except CallFailed:
            return False


@asynccontextmanager
async def real_sdk(bridge: RunningBridge, driver: FakeSdk, sdk: Sdk, name: str) -> AsyncIterator[RealSdk]:
    """Run a client until the block is left; it is entered when all its functions are on offer."""
    async with running_program(sdk, bridge.addresses.workers[0], name) as program:
        client = RealSdk(driver, name, program)
        try:
            await eventually(client.is_on_offer, START_LIMIT_S)
        except AssertionError as exc:
            raise AssertionError(f"not on offer. {program.output()}") from exc
        yield client
