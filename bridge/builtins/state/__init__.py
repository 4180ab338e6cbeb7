"""The `iii-state` worker: values by scope and key, and the `state` trigger (spec 03 §1, §2)."""

from bridge.builtins.state.worker import State, StateSettings

__all__ = ["State", "StateSettings"]
