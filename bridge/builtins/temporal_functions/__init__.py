"""`temporal::*` and the workflows that are functions: from iii to Temporal (docs/interop.md)."""

from bridge.builtins.temporal_functions.closed import ClosedWorkflows
from bridge.builtins.temporal_functions.declared import DeclaredWorkflow, DeclaredWorkflows
from bridge.builtins.temporal_functions.functions import TemporalFunctions

__all__ = ["ClosedWorkflows", "DeclaredWorkflow", "DeclaredWorkflows", "TemporalFunctions"]
