"""Which route serves a path (spec 04 §1.3 to §1.6): a trie, so the cost follows the path, not the routes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bridge.engine.triggers import Binding
from bridge.errors import TriggerRejectedError

__all__ = ["Match", "Pattern", "Route", "RouteTable", "parse_pattern"]

MAX_SEGMENTS = 256


@dataclass(frozen=True, slots=True)
class Pattern:
    """A registered path.

    Attributes:
        shape: Its segments; `None` stands for a parameter.
        names: The names of the parameters, in order.
    """

    shape: tuple[str | None, ...]
    names: tuple[str, ...]


def parse_pattern(api_path: str) -> Pattern:
    """Take a path apart; `{name}` means `:name`.

    Raises:
        TriggerRejectedError: A segment is neither a literal nor a parameter.
    """
    shape: list[str | None] = []
    names: list[str] = []
    segments = api_path.lstrip("/").split("/")
    if len(segments) > MAX_SEGMENTS:
        raise TriggerRejectedError(
            f"api_path has {len(segments)} segments; at most {MAX_SEGMENTS} are allowed"
        )
    for segment in segments:
        if segment.startswith("*"):
            raise _malformed(api_path, segment)
        if segment.startswith(":"):
            name = segment[1:]
        elif segment.startswith("{") and segment.endswith("}"):
            name = segment[1:-1]
        else:
            shape.append(segment)
            continue
        if not name or name.startswith("*"):
            raise _malformed(api_path, segment)
        shape.append(None)
        names.append(name)
    return Pattern(tuple(shape), tuple(names))


def _malformed(api_path: str, segment: str) -> TriggerRejectedError:
    return TriggerRejectedError(
        f"api_path {api_path!r} has the segment {segment!r}; write a literal or a parameter such as :id "
        "(there are no wildcards)"
    )


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """What a trigger asks for.

    Attributes:
        binding: Whose function runs.
        method: In upper case.
        api_path: As the user wrote it.
        pattern: The path taken apart.
        condition_function_id: Asked first.
        middleware_function_ids: Asked next, in order.
    """

    binding: Binding
    method: str
    api_path: str
    pattern: Pattern
    condition_function_id: str | None = None
    middleware_function_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """A path that is known.

    Attributes:
        routes: By method; not empty.
        values: What stands in the place of the parameters, undecoded.
    """

    routes: Mapping[str, Route]
    values: tuple[str, ...]

    def params(self, route: Route) -> dict[str, str]:
        """Name the values; the last of two equal names wins."""
        return dict(zip(route.pattern.names, self.values, strict=True))


@dataclass(slots=True, eq=False)
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict)
    parameter: "_Node | None" = None
    routes: dict[str, Route] = field(default_factory=dict)

    def child(self, segment: str | None) -> "_Node | None":
        return self.parameter if segment is None else self.literals.get(segment)

    def grow(self, segment: str | None) -> "_Node":
        if segment is not None:
            return self.literals.setdefault(segment, _Node())
        if self.parameter is None:
            self.parameter = _Node()
        return self.parameter

    def prune(self, segment: str | None) -> None:
        child = self.child(segment)
        if child is None or child.routes or child.literals or child.parameter:
            return
        if segment is None:
            self.parameter = None
        else:
            del self.literals[segment]


class RouteTable:
    """All routes. At each segment a literal beats a parameter, with backtracking (spec 04 §1.4)."""

    def __init__(self) -> None:
        self._root = _Node()
        self._by_binding: dict[str, Route] = {}

    def add(self, route: Route) -> None:
        """Add a route; one with the same method and path is replaced.

        Raises:
            TriggerRejectedError: A route differs from it only in the names of the parameters.
        """
        node = self._root
        for segment in route.pattern.shape:
            node = node.grow(segment)
        taken = node.routes.get(route.method)
        if taken is not None and taken.pattern.names != route.pattern.names:
            raise TriggerRejectedError(
                f"{route.method} {route.api_path} conflicts with already-registered route "
                f"{taken.method} {taken.api_path} of {taken.binding.function_id}: the two match the same "
                "paths; name the parameters alike to replace it, or choose another path"
            )
        if taken is not None:
            del self._by_binding[taken.binding.id]
        node.routes[route.method] = route
        self._by_binding[route.binding.id] = route

    def remove(self, binding: Binding) -> bool:
        """Remove the route of a binding; answers whether it was still its own (spec 04 §1.6)."""
        route = self._by_binding.get(binding.id)
        if route is None or route.binding is not binding:
            return False
        del self._by_binding[binding.id]
        path = [self._root]
        for segment in route.pattern.shape:
            path.append(path[-1].grow(segment))
        del path[-1].routes[route.method]
        for parent, segment in zip(reversed(path[:-1]), reversed(route.pattern.shape), strict=True):
            parent.prune(segment)
        return True

    def match(self, raw_path: str) -> Match | None:
        """Find the routes of a path, given as it came, percent-encoded."""
        values: list[str] = []
        node = _find(self._root, raw_path.removeprefix("/").split("/"), 0, values)
        return Match(node.routes, tuple(values)) if node is not None else None

    def __iter__(self) -> Iterator[Route]:
        """Iterate over the routes, the oldest first."""
        return iter(list(self._by_binding.values()))

    def __len__(self) -> int:
        """Return how many routes there are."""
        return len(self._by_binding)


def _find(node: _Node, segments: list[str], index: int, values: list[str]) -> _Node | None:
    if index == len(segments):
        return node if node.routes else None
    segment = segments[index]
    literal = node.literals.get(segment)
    if literal is not None and (found := _find(literal, segments, index + 1, values)):
        return found
    if node.parameter is not None and segment:
        values.append(segment)
        if found := _find(node.parameter, segments, index + 1, values):
            return found
        values.pop()
    return None
