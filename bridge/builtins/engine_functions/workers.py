"""`engine::workers::list` and `engine::workers::info`: who is connected (spec 05 §2.1)."""

from collections.abc import Callable

import msgspec

from bridge.builtins.engine_functions.catalog import Catalog
from bridge.builtins.engine_functions.offer import offer
from bridge.builtins.engine_functions.owners import FIRST_PARTY, MANDATORY, provider_of_type
from bridge.builtins.engine_functions.rows import WorkerDetail, WorkerRow
from bridge.engine.calls import DEFAULT_NAMESPACE, Call
from bridge.engine.engine import Engine, decode_input
from bridge.engine.functions import Function
from bridge.engine.triggers import TriggerType
from bridge.engine.workers import Worker
from bridge.errors import FunctionFailedError
from bridge.protocol import payload

__all__ = ["WorkerQueries"]


class WorkerListInput(msgspec.Struct, frozen=True):
    """Which workers to list; `worker_id` is what SDKs up to 0.12 send."""

    search: str | None = None
    runtime: str | None = None
    status: str | None = None
    worker_id: str | None = None


class WorkerList(msgspec.Struct, frozen=True):
    """The workers found, and when, in Unix milliseconds."""

    workers: list[WorkerRow]
    timestamp: int


class WorkerInfoInput(msgspec.Struct, frozen=True):
    """Which worker to describe."""

    name: str
    namespace: str | None = None


_list_input = msgspec.json.Decoder(WorkerListInput)
_info_input = msgspec.json.Decoder(WorkerInfoInput)


class WorkerQueries:
    """Answers who is connected; the bridge's own workers are shown as the in-process workers of iii.

    Args:
        engine: What knows them.
        catalog: What describes what they offer.
        version: The version of the bridge.
        now_ms: The current Unix time.
    """

    def __init__(self, engine: Engine, catalog: Catalog, version: str, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._catalog = catalog
        self._version = version
        self._now_ms = now_ms
        self._started_at_ms = now_ms()

    def register(self, engine: Engine) -> None:
        """Offer `engine::workers::list` and `engine::workers::info`."""
        offer(
            engine,
            "engine::workers::list",
            self.list_workers,
            "Lists the connected workers and the bridge's own.",
            takes=WorkerListInput,
            returns=WorkerList,
        )
        offer(
            engine,
            "engine::workers::info",
            self.worker_info,
            "Describes a worker and what it offers.",
            takes=WorkerInfoInput,
            returns=WorkerDetail,
        )

    async def list_workers(self, call: Call) -> msgspec.Raw:
        """List workers by name; one that never told its process id is shown only when asked for by id."""
        asked = decode_input(call, _list_input)
        rows = [
            *(self._own_row(each) for each in self._own_names()),
            *(
                self._row(each)
                for each in self._engine.workers.values()
                if each.info.pid is not None or each.id == asked.worker_id
            ),
        ]
        wanted = [
            row
            for row in rows
            if asked.worker_id in (None, row.id)
            and asked.runtime in (None, row.runtime)
            and asked.status in (None, row.status)
            and (not asked.search or asked.search.lower() in (row.name or "").lower())
        ]
        wanted.sort(key=lambda row: (row.name or row.id, row.id))
        return payload.encode(WorkerList(wanted, self._now_ms()))

    async def worker_info(self, call: Call) -> msgspec.Raw:
        """Describe a worker and what it offers.

        Raises:
            FunctionFailedError: `NOT_FOUND`: the name is unknown, or needs a namespace to be clear.
        """
        asked = decode_input(call, _info_input)
        candidates = [each for each in self._engine.workers.values() if each.info.name == asked.name]
        namespaces = {each.namespace for each in candidates}
        is_own = asked.name in self._own_names()
        if is_own:
            namespaces.add(DEFAULT_NAMESPACE)
        namespace = asked.namespace or (
            DEFAULT_NAMESPACE if DEFAULT_NAMESPACE in namespaces or len(namespaces) != 1 else min(namespaces)
        )
        if namespace not in namespaces:
            if asked.namespace is None and namespaces:
                names = ", ".join(sorted(namespaces))
                text = f"Worker '{asked.name}' is ambiguous: it is in {names}. Pass `namespace`."
                raise FunctionFailedError("NOT_FOUND", text)
            raise FunctionFailedError("NOT_FOUND", f"Worker '{asked.name}' is not connected.")
        connected = [each for each in candidates if each.namespace == namespace]
        return payload.encode(self._detail(connected[-1]) if connected else self._own_detail(asked.name))

    def _row(self, worker: Worker) -> WorkerRow:
        offered = self._engine.functions.offered_by(worker)
        info = worker.info
        return WorkerRow(
            id=worker.id,
            name=info.name,
            description=info.description,
            version=info.version,
            namespace=worker.namespace,
            runtime=info.runtime,
            os=info.os,
            status="connected",
            function_count=len(offered),
            connected_at_ms=worker.connected_at_ms,
            active_invocations=len(worker.executing),
            isolation=info.isolation,
            ip_address=worker.ip_address,
            internal=False,
            functions=[each.id for each in offered],
            pid=info.pid,
            latest_metrics=worker.latest_metrics,
        )

    def _own_row(self, name: str) -> WorkerRow:
        offered = self._own_functions(name)
        return WorkerRow(
            id=name,
            name=name,
            description=FIRST_PARTY.get(name),
            version=self._version,
            namespace=DEFAULT_NAMESPACE,
            runtime="engine",
            os=None,
            status="available",
            function_count=len(offered),
            connected_at_ms=self._started_at_ms,
            active_invocations=0,
            isolation="in-process",
            ip_address=None,
            internal=name in MANDATORY,
            functions=[each.id for each in offered],
            pid=None,
        )

    def _detail(self, worker: Worker) -> WorkerDetail:
        types = [each for each in self._engine.triggers.types if provider_of_type(each) is worker]
        return self._describe(self._row(worker), self._engine.functions.offered_by(worker), types)

    def _own_detail(self, name: str) -> WorkerDetail:
        types = [each for each in self._engine.triggers.types if each.owner_name == name]
        return self._describe(self._own_row(name), self._own_functions(name), types)

    def _describe(self, row: WorkerRow, functions: list[Function], types: list[TriggerType]) -> WorkerDetail:
        targets = {(each.namespace, each.id) for each in functions}
        bindings = [
            each for each in self._engine.triggers.bindings if (each.namespace, each.function_id) in targets
        ]
        return WorkerDetail(
            worker=row,
            functions=sorted(map(self._catalog.function_row, functions), key=lambda each: each.function_id),
            trigger_types=sorted(map(self._catalog.type_row, types), key=lambda each: each.id),
            registered_triggers=sorted(map(self._catalog.binding_row, bindings), key=lambda each: each.id),
        )

    def _own_functions(self, name: str) -> list[Function]:
        return [each for each in self._engine.functions if each.owner_name == name]

    def _own_names(self) -> set[str]:
        functions = {each.owner_name for each in self._engine.functions}
        types = {each.owner_name for each in self._engine.triggers.types}
        return {name for name in functions | types if name is not None}
