"""The functions under `chain::`, for handlers and for operators; ours (docs/chains.md)."""

import msgspec

from bridge.builtins.chain.messages import (
    Cancelled,
    Compensate,
    Delay,
    Held,
    Join,
    ListChains,
    Result,
    SendEvent,
    Sent,
    WaitForEvent,
    Which,
)
from bridge.engine.calls import Call
from bridge.engine.chains import ChainCommands, ChainFilter, Chains, Target
from bridge.engine.engine import Engine, decode_input
from bridge.engine.functions import BuiltinHandler, FunctionSchema
from bridge.errors import EnqueueError, FunctionFailedError
from bridge.protocol import payload

__all__ = ["OWNER_NAME", "ChainFunctions"]

OWNER_NAME = "iii-temporal"

_which = msgspec.json.Decoder(Which)
_list = msgspec.json.Decoder(ListChains)
_result = msgspec.json.Decoder(Result)
_delay = msgspec.json.Decoder(Delay)
_compensate = msgspec.json.Decoder(Compensate)
_join = msgspec.json.Decoder(Join)
_wait = msgspec.json.Decoder(WaitForEvent)
_send = msgspec.json.Decoder(SendEvent)


class ChainFunctions:
    """Looks at chains, and asks things of them.

    Args:
        engine: What knows who may call what.
        chains: Where chains are.
        commands: Takes what is asked.
    """

    def __init__(self, engine: Engine, chains: Chains, commands: ChainCommands) -> None:
        self._engine = engine
        self._chains = chains
        self._commands = commands

    def register(self, engine: Engine) -> None:
        """Offer the functions."""
        functions: dict[str, tuple[BuiltinHandler, str, type[msgspec.Struct] | None]] = {
            "chain::info": (self._info, "Tells a handler which chain it runs in", None),
            "chain::get": (self._get, "Describes a chain, its steps and their results", Which),
            "chain::list": (self._list, "Lists chains, newest first", ListChains),
            "chain::cancel": (self._cancel, "Ends a chain and undoes what it has completed", Which),
            "chain::result": (self._result, "Waits for a message and answers what came of it", Result),
            "chain::delay": (self._delay, "Enqueues a message that is delivered after a time", Delay),
            "chain::compensate": (self._compensate, "Has the chain undo something if it fails", Compensate),
            "chain::join": (self._join, "Runs a function when messages have ended, with their results", Join),
            "chain::wait_for_event": (
                self._wait,
                "Goes on when an event comes, or too late",
                WaitForEvent,
            ),
            "chain::send_event": (self._send, "Tells a chain of an event", SendEvent),
        }
        for function_id, (handler, description, takes) in functions.items():
            request = payload.encode(msgspec.json.schema(takes)) if takes else payload.ABSENT
            engine.add_builtin(
                function_id,
                handler,
                owner_name=OWNER_NAME,
                schema=FunctionSchema(description=description, request_format=request),
            )

    async def _info(self, call: Call) -> msgspec.Raw:
        if call.job is None:
            raise FunctionFailedError(
                "no_chain", "This call was not made in a handler of a queued message, so there is no chain"
            )
        return payload.encode(call.job.context)

    async def _get(self, call: Call) -> msgspec.Raw:
        asked = decode_input(call, _which)
        found = await self._chains.get(asked.given, _home(call), with_results=asked.results)
        if found is None:
            raise _no_such_chain(asked.given)
        return payload.encode(found)

    async def _list(self, call: Call) -> msgspec.Raw:
        asked = decode_input(call, _list)
        wanted = ChainFilter(
            asked.status,
            asked.function_id,
            asked.queue,
            asked.chain_id,
            asked.started_after_ms,
            asked.started_before_ms,
        )
        return payload.encode(await self._chains.page(wanted, asked.limit, asked.cursor))

    async def _cancel(self, call: Call) -> msgspec.Raw:
        workflow_id = await self._chain(call, decode_input(call, _which))
        return payload.encode(Cancelled(await self._chains.cancel(workflow_id), workflow_id))

    async def _result(self, call: Call) -> msgspec.Raw:
        asked = decode_input(call, _result)
        home = asked.chain_id or _home(call)
        ending = await self._chains.await_ending(asked.receipt, asked.timeout_ms / 1000, home)
        return payload.encode(ending)

    async def _delay(self, call: Call) -> msgspec.Raw:
        asked = decode_input(call, _delay)
        target = self._permitted(call, asked.target)
        if self._engine.enqueuer is None:
            raise EnqueueError("This bridge has no queues.")
        message = Call(
            function_id=target.function_id,
            data=asked.payload,
            namespace=target.namespace,
            metadata=call.metadata,
            traceparent=call.traceparent,
            baggage=call.baggage,
            job=call.job,
            caller=call.caller,
        )
        receipt = await self._engine.enqueuer.enqueue(message, target.queue, delay_ms=asked.delay_ms)
        return payload.encode({"messageReceiptId": receipt})

    async def _compensate(self, call: Call) -> msgspec.Raw:
        asked = decode_input(call, _compensate)
        target = self._permitted(call, asked.target)
        return payload.encode(Held(await self._commands.compensate(call, target, asked.payload)))

    async def _join(self, call: Call) -> msgspec.Raw:
        asked = decode_input(call, _join)
        receipt = await self._commands.join(
            call,
            asked.receipts,
            asked.payload,
            then=self._permitted(call, asked.target),
            otherwise=self._permitted(call, asked.on_failure.target) if asked.on_failure else None,
            timeout_ms=asked.timeout_ms,
        )
        return payload.encode(Held(receipt))

    async def _wait(self, call: Call) -> msgspec.Raw:
        asked = decode_input(call, _wait)
        receipt = await self._commands.wait_for_event(
            call,
            asked.event,
            asked.payload,
            then=self._permitted(call, asked.on_event.target),
            otherwise=self._permitted(call, asked.on_timeout.target) if asked.on_timeout else None,
            timeout_ms=asked.timeout_ms,
        )
        return payload.encode(Held(receipt))

    async def _send(self, call: Call) -> msgspec.Raw:
        asked = decode_input(call, _send)
        workflow_id = await self._chain(call, asked)
        return payload.encode(Sent(await self._commands.send_event(workflow_id, asked.event, asked.data)))

    async def _chain(self, call: Call, asked: Which) -> str:
        workflow_id = await self._chains.chain_of(asked.given, _home(call))
        if workflow_id is None:
            raise _no_such_chain(asked.given)
        return workflow_id

    def _permitted(self, call: Call, target: Target) -> Target:
        """Return what the caller may have run for it, as it may by Enqueue.

        Raises:
            FunctionFailedError: It may not.
        """
        if call.caller is not None and call.caller.access.is_restricted:
            access, namespace = call.caller.access, target.namespace
            metadata = self._engine.functions.metadata_of(target.function_id, namespace)
            refusal = access.refusal_of_call(target.function_id, namespace, metadata)
            refusal = refusal or access.refusal_of_indirect_call(target.function_id)
            if refusal is not None:
                raise refusal
        return target


def _home(call: Call) -> str | None:
    return call.job.home if call.job else None


def _no_such_chain(given: str) -> FunctionFailedError:
    return FunctionFailedError(
        "chain_not_found",
        f"No chain has {given}. It may be older than the namespace's retention, or run in the lane of a FIFO "
        "queue without having led to anything; `chain::result` finds those.",
    )
