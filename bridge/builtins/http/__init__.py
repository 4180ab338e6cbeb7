"""The HTTP worker: requests become calls, results become responses (spec 04)."""

from bridge.builtins.http.settings import CorsSettings, GlobalMiddleware, HttpSettings
from bridge.builtins.http.worker import Http

__all__ = ["CorsSettings", "GlobalMiddleware", "Http", "HttpSettings"]
