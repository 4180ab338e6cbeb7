"""`engine::functions::*`: what can be called (spec 05 §2.1)."""

import msgspec

from bridge.builtins.engine_functions.catalog import Catalog
from bridge.builtins.engine_functions.offer import offer
from bridge.builtins.engine_functions.owners import owner_of_function
from bridge.builtins.engine_functions.rows import FunctionDetail, FunctionRow
from bridge.engine.calls import Call
from bridge.engine.engine import Engine, decode_input
from bridge.engine.functions import Function
from bridge.errors import FunctionFailedError
from bridge.protocol import payload

__all__ = ["FunctionQueries"]

_LARGEST_BATCH = 32


class FunctionListInput(msgspec.Struct, frozen=True):
    """Which functions to list."""

    search: str | None = None
    prefix: str | None = None
    worker: str | None = None
    workers: list[str] | None = None
    include_internal: bool | None = None


class FunctionList(msgspec.Struct, frozen=True):
    """The functions found."""

    functions: list[FunctionRow]


class FunctionInfoInput(msgspec.Struct, frozen=True):
    """Which function to describe: one id, or several."""

    function_id: str | None = None
    function_ids: list[str] | None = None
    namespace: str | None = None


class Missing(msgspec.Struct, frozen=True):
    """Stands for a function that is not there, or not for the session."""

    function_id: str
    error: str = "not_found"


class FunctionDetails(msgspec.Struct, frozen=True):
    """The functions asked for, in the order of the request."""

    functions: list[msgspec.Raw]


_list_input = msgspec.json.Decoder(FunctionListInput)
_info_input = msgspec.json.Decoder(FunctionInfoInput)


class FunctionQueries:
    """Answers what functions there are.

    Args:
        engine: What knows them.
        catalog: What describes them.
    """

    def __init__(self, engine: Engine, catalog: Catalog) -> None:
        self._engine = engine
        self._catalog = catalog

    def register(self, engine: Engine) -> None:
        """Offer `engine::functions::*`."""
        offer(
            engine,
            "engine::functions::list",
            self.list_functions,
            "Lists the functions on offer.",
            takes=FunctionListInput,
            returns=FunctionList,
        )
        offer(
            engine,
            "engine::functions::info",
            self.function_info,
            "Describes functions with their schemas and what triggers them.",
            takes=FunctionInfoInput,
            returns=FunctionDetail,
        )

    async def list_functions(self, call: Call) -> msgspec.Raw:
        """List functions by id; with a search, the best matches first."""
        asked = decode_input(call, _list_input)
        found = [
            each
            for each in self._engine.functions
            if self._is_wanted(each, asked) and self._is_visible(each, call)
        ]
        if asked.search:
            needle = asked.search.lower()
            ranked = [(rank, each) for each in found if (rank := _rank(each, needle)) is not None]
            found = [each for _, each in sorted(ranked, key=lambda pair: (pair[0], pair[1].id))]
        else:
            found.sort(key=lambda each: each.id)
        return payload.encode(FunctionList([self._catalog.function_row(each) for each in found]))

    async def function_info(self, call: Call) -> msgspec.Raw:
        """Describe one function, or up to 32 in the order of their ids.

        Raises:
            FunctionFailedError: `INVALID_ARGUMENTS` for a malformed request, `NOT_FOUND` for an unknown id,
                `FORBIDDEN` for one that the session may not call.
        """
        asked = decode_input(call, _info_input)
        if (asked.function_id is None) == (asked.function_ids is None):
            raise _invalid("give either function_id or function_ids")
        if asked.function_id is not None:
            return payload.encode(self._describe(asked.function_id, asked.namespace, call))
        ids = list(dict.fromkeys(asked.function_ids or ()))
        if not ids:
            raise _invalid("function_ids is empty; name at least one function")
        if len(ids) > _LARGEST_BATCH:
            raise _invalid(
                f"function_ids has {len(ids)} entries; at most {_LARGEST_BATCH} fit in one request"
            )
        return payload.encode(
            FunctionDetails([self._describe_or_miss(each, asked.namespace, call) for each in ids])
        )

    def _describe(self, function_id: str, namespace: str | None, call: Call) -> FunctionDetail:
        found = self._catalog.find_function(function_id, namespace)
        if isinstance(found, Function):
            if not self._is_visible(found, call):
                text = f"Function '{function_id}' is not visible to this session."
                raise FunctionFailedError("FORBIDDEN", text)
            return self._catalog.function_detail(found)
        text = f"Function '{function_id}' is not registered."
        if found:
            text = f"Function '{function_id}' is ambiguous: it is in {', '.join(found)}. Pass `namespace`."
        raise FunctionFailedError("NOT_FOUND", text)

    def _describe_or_miss(self, function_id: str, namespace: str | None, call: Call) -> msgspec.Raw:
        found = self._catalog.find_function(function_id, namespace)
        if isinstance(found, Function):
            if not self._is_visible(found, call):
                return payload.encode(Missing(function_id, "forbidden"))
            return payload.encode(self._catalog.function_detail(found))
        return payload.encode(Missing(function_id))

    def _is_visible(self, function: Function, call: Call) -> bool:
        """Tell whether the session that asks may call a function (spec 05 §5.7)."""
        if call.caller is None or not call.caller.access.is_restricted:
            return True
        metadata = self._engine.functions.metadata_of(function.id, function.namespace)
        return call.caller.access.refusal_of_call(function.id, function.namespace, metadata) is None

    def _is_wanted(self, function: Function, asked: FunctionListInput) -> bool:
        if not asked.include_internal and _is_internal(function):
            return False
        if asked.prefix and not function.id.startswith(asked.prefix):
            return False
        names = {*(asked.workers or ()), *((asked.worker,) if asked.worker else ())}
        offers = self._engine.functions.offers_of(function.id, function.namespace)
        return not names or any(owner_of_function(each) in names for each in offers)


def _is_internal(function: Function) -> bool:
    if function.id.startswith("engine::") and not function.id.startswith("engine::queue::"):
        return True
    metadata = function.schema.metadata
    return payload.is_object(metadata) and msgspec.json.decode(metadata).get("internal") is True


def _rank(function: Function, needle: str) -> int | None:
    function_id = function.id.lower()
    if function_id.startswith(needle) or needle in function_id.split("::"):
        return 0
    if needle in function_id:
        return 1
    return 2 if needle in (function.schema.description or "").lower() else None


def _invalid(reason: str) -> FunctionFailedError:
    return FunctionFailedError("INVALID_ARGUMENTS", f"engine::functions::info: {reason}")
