"""From iii to Temporal: `temporal::*`, and workflows that are functions."""

from bridge.builtins.temporal_functions import DeclaredWorkflows, TemporalFunctions
from bridge.parts.site import Site
from bridge.settings import declared_workflows, workflow_rules
from bridge.temporal.interop.access import Namespaces
from bridge.temporal.interop.schedules import TemporalWorkflowSchedules
from bridge.temporal.interop.workflows import TemporalWorkflows
from bridge.temporal.service import TemporalService

__all__ = ["open_interop"]


def open_interop(site: Site, temporal: TemporalService) -> None:
    """Let functions use other people's workflows, as far as the configuration allows."""
    block = site.config.temporal
    rules = workflow_rules(block)
    namespaces = Namespaces(temporal.connection)
    workflows = TemporalWorkflows(namespaces, rules)
    TemporalFunctions(workflows, TemporalWorkflowSchedules(namespaces, rules)).register(site.engine)
    DeclaredWorkflows(workflows, declared_workflows(block)).register(site.engine)
