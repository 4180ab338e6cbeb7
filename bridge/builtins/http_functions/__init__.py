"""Functions that live behind a URL: the bridge calls them over HTTP (spec 04 §7)."""

from bridge.builtins.http_functions.settings import HttpFunctionsSettings
from bridge.builtins.http_functions.worker import HttpFunctions

__all__ = ["HttpFunctions", "HttpFunctionsSettings"]
