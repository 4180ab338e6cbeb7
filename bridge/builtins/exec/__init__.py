"""The built-in worker `iii-exec` (spec 05 §7)."""

from bridge.builtins.exec.settings import ExecSettings
from bridge.builtins.exec.worker import Exec

__all__ = ["Exec", "ExecSettings"]
