"""The `engine::*` functions and trigger types: who is connected and what is on offer (spec 05 §2, §3)."""

from bridge.builtins.engine_functions.worker import EngineFunctions

__all__ = ["EngineFunctions"]
