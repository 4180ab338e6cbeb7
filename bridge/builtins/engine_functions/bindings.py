"""`engine::register_trigger` and `engine::unregister_trigger`: bindings that belong to no connection."""

import asyncio

import msgspec

from bridge.builtins.engine_functions.offer import offer
from bridge.builtins.engine_functions.owners import provider_of_type
from bridge.engine.access import OPEN, Access
from bridge.engine.admission import refusal_of_functions_in
from bridge.engine.calls import DEFAULT_NAMESPACE, Call
from bridge.engine.engine import Engine, decode_input
from bridge.engine.triggers import Binding
from bridge.errors import FunctionFailedError, TriggerRejectedError
from bridge.protocol import payload
from bridge.protocol.inbound import ErrorBody

__all__ = ["OwnerlessBindings"]


MOST_BINDINGS = 20_000
"""How many bindings without an owner there may be: nothing removes them but `engine::unregister_trigger`."""


class RegisterTriggerInput(msgspec.Struct, frozen=True):
    """What to bind to what."""

    trigger_type: str
    function_id: str
    config: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    metadata: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    trigger_namespace: str | None = None


class Bound(msgspec.Struct, frozen=True):
    """The new binding's id."""

    id: str


class UnregisterTriggerInput(msgspec.Struct, frozen=True):
    """Which binding to remove."""

    id: str


class Unbound(msgspec.Struct, frozen=True):
    """Whether there was such a binding."""

    removed: bool


_register_input = msgspec.json.Decoder(RegisterTriggerInput)
_unregister_input = msgspec.json.Decoder(UnregisterTriggerInput)


class OwnerlessBindings:
    """Binds functions to trigger types independently of the caller's connection (spec 05 §2.1).

    Args:
        engine: Where the bindings go.
        answer_timeout_s: How long a provider may take to object; one that says nothing has accepted.
    """

    def __init__(self, engine: Engine, *, answer_timeout_s: float) -> None:
        self._engine = engine
        self._answer_timeout_s = answer_timeout_s
        self._made: set[str] = set()

    def register(self, engine: Engine) -> None:
        """Offer `engine::register_trigger` and `engine::unregister_trigger`."""
        offer(
            engine,
            "engine::register_trigger",
            self.bind,
            "Binds a function to a trigger type until it is unregistered, whoever disconnects.",
            takes=RegisterTriggerInput,
            returns=Bound,
        )
        offer(
            engine,
            "engine::unregister_trigger",
            self.unbind,
            "Removes a binding.",
            takes=UnregisterTriggerInput,
            returns=Unbound,
        )

    async def bind(self, call: Call) -> msgspec.Raw:
        """Make a binding; one whose type nobody provides yet waits for it.

        Raises:
            BridgeError: The provider refused the configuration, or the session may not make it; the binding
                does not exist.
        """
        asked = decode_input(call, _register_input)
        if asked.trigger_namespace is not None and not asked.trigger_namespace.strip():
            raise FunctionFailedError(
                "INVALID_NAMESPACE", "trigger_namespace is blank; name a namespace or leave it out"
            )
        access = call.caller.access if call.caller else OPEN
        function_id = access.stored_id(asked.function_id)
        if refusal := self._refusal_of(asked, function_id, access):
            raise refusal
        binding = Binding(
            id=self._engine.new_id(),
            trigger_type=asked.trigger_type,
            function_id=function_id,
            config=payload.NULL if asked.config is msgspec.UNSET else asked.config,
            metadata=payload.ABSENT if asked.metadata is msgspec.UNSET else asked.metadata,
            type_namespace=asked.trigger_namespace,
        )
        self._make_room()
        self._engine.triggers.bind(binding)
        self._made.add(binding.id)
        trigger_type = self._engine.triggers.provider_of(binding.id)
        if trigger_type is not None and provider_of_type(trigger_type) is not None:
            await self._hear_provider(binding)
        return payload.encode(Bound(binding.id))

    async def unbind(self, call: Call) -> msgspec.Raw:
        """Remove a binding; removing it again does nothing."""
        asked = decode_input(call, _unregister_input)
        return payload.encode(Unbound(self._engine.triggers.unbind(asked.id) is not None))

    def _make_room(self) -> None:
        triggers = self._engine.triggers
        if len(self._made) >= MOST_BINDINGS:
            self._made = {each for each in self._made if triggers.find(each) is not None}
        if len(self._made) >= MOST_BINDINGS:
            raise TriggerRejectedError(
                f"There are {MOST_BINDINGS} bindings made by engine::register_trigger; remove some with "
                "engine::unregister_trigger, or have workers bind their own triggers."
            )

    def _refusal_of(
        self, asked: RegisterTriggerInput, function_id: str, access: Access
    ) -> FunctionFailedError | None:
        """Return why a session may not make a binding, if so (spec 05 §2.1, §5.6)."""
        if not access.is_restricted:
            return None
        if not access.may_bind(asked.trigger_type):
            text = f"Trigger type '{asked.trigger_type}' is not allowed for this session."
            return FunctionFailedError("FORBIDDEN", text)
        metadata = self._engine.functions.metadata_of(function_id)
        config = payload.NULL if asked.config is msgspec.UNSET else asked.config
        return access.refusal_of_binding(function_id, DEFAULT_NAMESPACE, metadata) or refusal_of_functions_in(
            config, DEFAULT_NAMESPACE, access, self._engine
        )

    async def _hear_provider(self, binding: Binding) -> None:
        answer: asyncio.Future[ErrorBody | None] = asyncio.get_running_loop().create_future()
        self._engine.triggers.expect_answer(binding.id, answer.set_result)
        try:
            async with asyncio.timeout(self._answer_timeout_s):
                error = await answer
        except TimeoutError:
            return
        finally:
            self._engine.triggers.expect_no_answer(binding.id)
        if error is not None:
            self._engine.triggers.unbind(binding.id)
            raise FunctionFailedError("trigger_registration_failed", f"{error.code}: {error.message}")
