"""A worker on whatever iii SDK its interpreter has; the test drives it through the functions it offers.

Usage: worker.py URL NAME SDK_VERSION. It runs until its standard input is closed.
"""

import ast
import asyncio
import sys
from typing import Any

from iii import TriggerAction, register_worker
from iii.iii_constants import InitOptions, ReconnectionConfig
from iii.triggers import TriggerHandler

URL, NAME, VERSION = sys.argv[1:4]
GENERATION = tuple(int(part) for part in VERSION.split(".")[:2])
TAKES_METADATA = GENERATION >= (0, 22)


class Provider(TriggerHandler[Any]):
    """The provider of the trigger type `<name>::type`."""

    def __init__(self) -> None:
        self.bound: dict[str, dict[str, Any]] = {}
        self.removed: list[str] = []

    async def register_trigger(self, config: Any) -> None:
        if (config.config or {}).get("refuse"):
            raise ValueError("refused by the provider")
        self.bound[config.id] = {"function_id": config.function_id, "config": config.config}

    async def unregister_trigger(self, config: Any) -> None:
        self.bound.pop(config.id, None)
        self.removed.append(config.id)


options = InitOptions(
    worker_name=NAME,
    reconnection_config=ReconnectionConfig(initial_delay_ms=20, max_delay_ms=100),
    invocation_timeout_ms=20_000,
)
if len(sys.argv) > 4:
    options.namespace = sys.argv[4]
worker = register_worker(URL, options)
provider = Provider()
triggers: dict[str, Any] = {}
noted: list[Any] = []


def offer(function: Any) -> Any:
    """Register a function under its Python name."""
    function_id = f"{NAME}::{function.__name__}"
    if GENERATION < (0, 11):
        return worker.register_function({"id": function_id, "description": "d"}, function)
    return worker.register_function(function_id, function, description="d")


def request_of(data: dict[str, Any]) -> dict[str, Any]:
    action = None
    if "queue" in data:
        action = TriggerAction.Enqueue(queue=data["queue"])
    elif data.get("void"):
        action = TriggerAction.Void()
    request = {"function_id": data["function_id"], "payload": data.get("payload"), "action": action}
    if TAKES_METADATA and "metadata" in data:
        request["metadata"] = data["metadata"]
    return request


async def trigger(data: dict[str, Any]) -> Any:
    if GENERATION >= (0, 11):
        result = await worker.trigger_async(request_of(data))
    else:
        result = await asyncio.to_thread(worker.trigger, request_of(data))
    return result.model_dump() if hasattr(result, "model_dump") else result


async def echo(data: Any) -> Any:
    return data


def echo_sync(data: Any) -> Any:
    return data


async def nothing(_: Any) -> None:
    return None


async def fail(data: Any) -> Any:
    raise ValueError(f"cannot take {data['what']}")


async def large(data: Any) -> str:
    return "x" * data["bytes"]


async def length(data: Any) -> int:
    return len(data["text"])


async def call(data: dict[str, Any]) -> dict[str, Any]:
    """Call another function; tells its result or error."""
    if pause_s := data.get("pause_s"):
        await asyncio.sleep(pause_s)
    try:
        return {"result": await trigger(data)}
    except Exception as exc:  # noqa: BLE001 - 0.9 raises a plain one with the error's dictionary as its text
        body = vars(exc) if hasattr(exc, "code") else ast.literal_eval(str(exc))
        return {"code": body["code"], "message": body["message"]}


def call_sync(data: dict[str, Any]) -> dict[str, Any]:
    """Call another function from a handler that is no coroutine."""
    return {"result": worker.trigger(request_of(data))}


async def note(data: Any) -> None:
    noted.append(data)


async def notes(_: Any) -> list[Any]:
    taken = noted[:]
    noted.clear()
    return taken


async def bind(data: dict[str, Any]) -> None:
    triggers[data["function_id"]] = worker.register_trigger(data)


async def unbind(data: dict[str, Any]) -> None:
    triggers.pop(data["function_id"]).unregister()


async def fire(data: Any) -> int:
    for each in provider.bound.values():
        await trigger({"function_id": each["function_id"], "payload": data, "void": True})
    return len(provider.bound)


async def provided(_: Any) -> dict[str, Any]:
    return {"bound": provider.bound, "removed": provider.removed}


async def withdraw(_: Any) -> None:
    temporary.unregister()


async def temporary(_: Any) -> str:
    return "here"


def lists(_: Any) -> dict[str, Any]:
    """What the list wrappers of 0.9 make of the bridge's answers."""
    return {
        "functions": [each.function_id for each in worker.list_functions()],
        "workers": [each.name for each in worker.list_workers()],
        "triggers": [each.trigger_type for each in worker.list_triggers(include_internal=True)],
    }


def watch_functions(_: Any) -> None:
    worker.on_functions_available(lambda functions: noted.append([each.function_id for each in functions]))


def withmetadata(data: Any, metadata: Any = None) -> Any:
    return {"data": data, "metadata": metadata}


worker.register_trigger_type({"id": f"{NAME}::type", "description": "A type of the test"}, provider)
for handler in (
    *(echo, echo_sync, nothing, fail, large, length, call, call_sync, note, notes),
    *(bind, unbind, fire, provided, withdraw, lists, watch_functions),
):
    offer(handler)
if TAKES_METADATA:
    offer(withmetadata)
temporary = offer(temporary)

sys.stdin.read()
worker.shutdown()
