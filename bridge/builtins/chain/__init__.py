"""`chain::*`: what handlers and operators do with chains beyond the next step; ours."""

from bridge.builtins.chain.functions import ChainFunctions

__all__ = ["ChainFunctions"]
