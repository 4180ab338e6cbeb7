"""From iii to Temporal: `temporal::*`, and workflows that are functions."""

from bridge.builtins.temporal_functions import ClosedWorkflows, DeclaredWorkflows, TemporalFunctions
from bridge.parts.site import Site, unix_ms
from bridge.settings import declared_workflows, workflow_rules
from bridge.stores import open_store
from bridge.temporal.interop.access import Namespaces
from bridge.temporal.interop.schedules import TemporalWorkflowSchedules
from bridge.temporal.interop.workflows import TemporalWorkflows
from bridge.temporal.services import TemporalServices

__all__ = ["open_interop"]


async def open_interop(site: Site, temporal: TemporalServices) -> ClosedWorkflows:
    """Let functions use other people's workflows, as far as the configuration allows."""
    block = site.config.temporal
    rules = workflow_rules(block)
    namespaces = Namespaces([each.connection for each in temporal.all])
    workflows = TemporalWorkflows(namespaces, rules)
    TemporalFunctions(workflows, TemporalWorkflowSchedules(namespaces, rules)).register(site.engine)
    DeclaredWorkflows(workflows, declared_workflows(block)).register(site.engine)
    store = None
    if site.config.state is not None:
        store = await open_store(site.config.state.adapter, f"{block.prefix}:interop")
        site.closing.push_async_callback(store.close)
    closed = ClosedWorkflows(workflows, store, temporal.enqueue_once, unix_ms)
    closed.register(site.engine)
    return closed
