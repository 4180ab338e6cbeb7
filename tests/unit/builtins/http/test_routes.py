"""Which route serves a path (spec 04 §1.3 to §1.6, §8.1)."""

import uuid
from typing import Any

import msgspec
import pytest

from bridge.builtins.http.routes import RouteTable
from bridge.builtins.http.triggers import HttpTriggers
from bridge.engine.triggers import Binding
from bridge.errors import TriggerRejectedError
from bridge.protocol import payload


class Routes:
    """A route table driven through its trigger type."""

    def __init__(self) -> None:
        self.table = RouteTable()
        self.triggers = HttpTriggers(self.table)

    def add(self, function_id: str, path: Any, method: Any = "GET", **config: Any) -> Binding:
        given = {"api_path": path, "http_method": method, **config}
        binding = Binding(str(uuid.uuid4()), "http", function_id, payload.encode(given))
        self.triggers.bind(binding)
        return binding

    def serve(self, path: str, method: str = "GET") -> tuple[str, dict[str, str]] | None:
        match = self.table.match(path)
        if match is None or method not in match.routes:
            return None
        route = match.routes[method]
        return route.binding.function_id, match.params(route)

    def function(self, path: str, method: str = "GET") -> str | None:
        served = self.serve(path, method)
        return served[0] if served else None


@pytest.fixture
def routes() -> Routes:
    return Routes()


@pytest.mark.parametrize("path", ["users/list", "/users/list"])
@pytest.mark.parametrize("method", ["get", "GET", "Get"])
def test_the_leading_slash_and_the_case_of_the_method_do_not_matter(
    path: str, method: str, routes: Routes
) -> None:
    routes.add("f", path, method)
    assert routes.function("/users/list") == "f"


@pytest.mark.parametrize("path", ["", "/"])
def test_the_root_is_a_route(path: str, routes: Routes) -> None:
    routes.add("root", path)
    assert routes.function("/") == "root"


@pytest.mark.parametrize("method", [None, 7, ["POST"]])
def test_the_method_is_get_unless_it_is_text(method: Any, routes: Routes) -> None:
    routes.add("f", "/x", method)
    assert routes.function("/x", "GET") == "f"


def test_a_parameter_takes_one_segment_as_it_came(routes: Routes) -> None:
    routes.add("f", "/users/:id/orders/:order")
    assert routes.serve("/users/a%20b/orders/..%2F7") == ("f", {"id": "a%20b", "order": "..%2F7"})


@pytest.mark.parametrize("path", ["/users", "/users/1/2", "/users/", "//users/1", "/Users/1", "/users/1/"])
def test_what_is_not_the_shape_is_not_the_route(path: str, routes: Routes) -> None:
    routes.add("f", "/users/:id")
    assert routes.serve(path) is None


def test_braces_mean_a_parameter_too(routes: Routes) -> None:
    routes.add("f", "/users/{id}")
    assert routes.serve("/users/7") == ("f", {"id": "7"})


def test_a_colon_inside_a_segment_is_literal(routes: Routes) -> None:
    routes.add("f", "/a:b")
    assert routes.function("/a:b") == "f"
    assert routes.function("/a7") is None


def test_the_last_of_equal_parameter_names_wins(routes: Routes) -> None:
    routes.add("f", "/:x/:x")
    assert routes.serve("/1/2") == ("f", {"x": "2"})


@pytest.mark.parametrize("path", ["/a/:", "/a/{}", "/*", "/a/*rest", "/a/{*rest}", "/" + "a/" * 300])
def test_a_malformed_path_is_rejected(path: str, routes: Routes) -> None:
    with pytest.raises(TriggerRejectedError):
        routes.add("f", path)
    assert len(routes.table) == 0


@pytest.mark.parametrize("config", [b"{}", b"null", b'{"api_path":7}', b"[]"])
def test_a_path_is_required(config: bytes, routes: Routes) -> None:
    with pytest.raises(TriggerRejectedError, match="api_path is required"):
        routes.triggers.bind(Binding("id", "http", "f", msgspec.Raw(config)))


def test_a_literal_beats_a_parameter_in_any_order_of_registration(routes: Routes) -> None:
    routes.add("by id", "/users/:id")
    routes.add("me", "/users/me")
    routes.add("other literal", "/teams/us")
    routes.add("by team", "/teams/:id")
    assert [routes.function(path) for path in ("/users/me", "/users/7", "/teams/us", "/teams/7")] == [
        "me",
        "by id",
        "other literal",
        "by team",
    ]


def test_a_literal_that_leads_nowhere_is_left_again(routes: Routes) -> None:
    routes.add("literal", "/a/b/d")
    routes.add("parameter", "/a/:x/c")
    assert routes.serve("/a/b/c") == ("parameter", {"x": "b"})


def test_the_same_route_again_replaces_the_earlier_one(routes: Routes) -> None:
    routes.add("first", "users/:id", "get")
    routes.add("second", "/users/:id", "GET")
    assert routes.function("/users/7") == "second"
    assert len(routes.table) == 1


def test_the_same_shape_with_other_names_is_refused_and_the_first_keeps_serving(routes: Routes) -> None:
    routes.add("first", "/s/:a/:b")
    with pytest.raises(TriggerRejectedError, match="conflicts with already-registered route"):
        routes.add("second", "/s/:b/:a")
    assert routes.function("/s/1/2") == "first"


def test_other_methods_and_other_literals_do_not_conflict(routes: Routes) -> None:
    routes.add("get", "items/:id", "GET")
    routes.add("put", "/items/:key", "PUT")
    routes.add("me", "/items/me")
    routes.add("other", "/things/:id")
    assert routes.serve("/items/7", "PUT") == ("put", {"key": "7"})
    assert routes.serve("/items/7", "GET") == ("get", {"id": "7"})


def test_a_removed_route_is_gone_and_leaves_nothing_behind(routes: Routes) -> None:
    binding = routes.add("f", "/a/:b/c")
    routes.add("stays", "/a")
    routes.triggers.unbind(binding)
    assert routes.function("/a/1/c") is None
    assert routes.function("/a") == "stays"
    root = routes.table._root
    assert not root.literals["a"].literals
    assert root.literals["a"].parameter is None


@pytest.mark.parametrize("path", ["/x", "/x/:id"])
def test_a_stale_owner_cannot_remove_the_route_that_replaced_its_own(path: str, routes: Routes) -> None:
    stale = routes.add("old", path)
    routes.add("new", path)
    assert routes.table.remove(stale) is False
    assert routes.function(path.replace(":id", "7")) == "new"


def test_removing_an_unknown_route_reports_it(routes: Routes) -> None:
    assert routes.table.remove(Binding("id", "http", "f", payload.NULL)) is False


def test_a_replaced_route_does_not_come_back(routes: Routes) -> None:
    routes.add("old", "/x")
    newer = routes.add("new", "/x")
    routes.triggers.unbind(newer)
    assert routes.function("/x") is None


def test_an_unsupported_method_is_accepted_and_never_served(routes: Routes) -> None:
    binding = routes.add("f", "/x", "TRACE")
    assert routes.serve("/x", "TRACE") is None
    routes.triggers.unbind(binding)


def test_middleware_and_condition_stand_on_the_route(routes: Routes) -> None:
    routes.add("f", "/x", middleware_function_ids=["m1", 7, "m2"], condition_function_id="c")
    routes.add("g", "/y", middleware_function_ids="m1", condition_function_id=7)
    on_x, on_y = routes.table
    assert (on_x.middleware_function_ids, on_x.condition_function_id) == (("m1", "m2"), "c")
    assert (on_y.middleware_function_ids, on_y.condition_function_id) == ((), None)


def test_finding_a_route_visits_the_path_and_not_the_routes(routes: Routes) -> None:
    for number in range(5000):
        routes.add(f"f{number}", f"/api/v{number}/items/:id")
    visited = 0

    class CountingDict(dict):
        def get(self, *args: Any) -> Any:
            nonlocal visited
            visited += 1
            return super().get(*args)

    stack = [routes.table._root]
    while stack:
        node = stack.pop()
        stack.extend(node.literals.values())
        node.literals = CountingDict(node.literals)
    assert routes.function("/api/v4321/items/7") == "f4321"
    assert visited <= 4
