"""Which browsers may read the responses (spec 04 §5.3)."""

from bridge.builtins.http.response import Headers
from bridge.builtins.http.settings import CorsSettings

__all__ = ["Cors"]

_ANY = b"*"
_VARY = (b"vary", b"origin, access-control-request-method, access-control-request-headers")


class Cors:
    """Makes the CORS headers of every response.

    Args:
        settings: `None` allows everything.
    """

    def __init__(self, settings: CorsSettings | None) -> None:
        origins = settings.allowed_origins if settings else ()
        methods = settings.allowed_methods if settings else ()
        self._origins = frozenset() if "*" in origins else frozenset(origins)
        self._methods = ",".join(method.upper() for method in methods).encode() or _ANY
        self._exposes_all = settings is None

    def headers(self, origin: str | None) -> Headers:
        """Return the headers of a response to a request of the given origin."""
        exposed = ((b"access-control-expose-headers", _ANY),) if self._exposes_all else ()
        return (*self._allowed(origin), _VARY, *exposed)

    def preflight(self, origin: str | None) -> Headers:
        """Return the headers of the response to an OPTIONS request."""
        return (
            *self._allowed(origin),
            _VARY,
            (b"access-control-allow-methods", self._methods),
            (b"access-control-allow-headers", _ANY),
        )

    def _allowed(self, origin: str | None) -> Headers:
        if not self._origins:
            return ((b"access-control-allow-origin", _ANY),)
        if origin is None or origin not in self._origins:
            return ()
        return ((b"access-control-allow-origin", origin.encode()),)
