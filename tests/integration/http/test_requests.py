"""Requests become calls and results become responses (spec 04 §3.6, §4, §5.3, §8.3, §8.5, §8.9)."""

import asyncio
import json
from typing import Any

import httpx
import pytest
import structlog

from bridge.builtins.http import CorsSettings, GlobalMiddleware
from bridge.engine.triggers import Binding
from bridge.errors import FunctionFailedError
from bridge.protocol import payload
from tests.integration.http.conftest import MakeBridge
from tests.integration.http.running_bridge import Bridge, raw_exchange


async def test_a_json_request_reaches_the_function_and_its_answer_the_client(bridge: Bridge) -> None:
    async def echo(request: Any) -> Any:
        return {"status_code": 201, "body": {"got": request["body"], "id": request["path_params"]["id"]}}

    bridge.function("echo", echo)
    bridge.route("echo", "items/:id", "POST")
    response = await bridge.client.post("/items/7", json={"name": "x"})
    assert response.status_code == 201
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"got": {"name": "x"}, "id": "7"}


async def test_the_old_name_of_the_trigger_type_serves_too(bridge: Bridge) -> None:
    bridge.function("f", {"body": "old"})
    bridge.engine.triggers.bind(Binding("id", "api", "f", payload.encode({"api_path": "/x"})))
    assert (await bridge.client.get("/x")).json() == "old"


async def test_the_path_reaches_the_function_as_it_came(bridge: Bridge) -> None:
    async def echo(request: Any) -> Any:
        return {"body": request["path_params"]["name"]}

    bridge.function("echo", echo)
    bridge.route("echo", "/files/:name")
    response = await bridge.client.get("/files/..%2F..%2Fetc%2Fpasswd%20")
    assert response.json() == "..%2F..%2Fetc%2Fpasswd%20"


async def test_the_query_reaches_the_function_as_text(bridge: Bridge) -> None:
    async def echo(request: Any) -> Any:
        return {"body": request["query_params"]}

    bridge.function("echo", echo)
    bridge.route("echo", "/search")
    response = await bridge.client.get(
        "/search?q=hello&limit=10", headers={"content-type": "application/json"}
    )
    assert response.json() == {"q": "hello", "limit": "10"}


@pytest.mark.parametrize(
    "path",
    ["/files/%ff%fe", "/files/%00", "/files/%2e%2e", "/files/a;b=c", "/files/%u002e", "/files/~%5C..%5C"],
)
async def test_a_hostile_path_reaches_the_function_as_it_came(path: str, bridge: Bridge) -> None:
    async def echo(request: Any) -> Any:
        return {"body": request["path_params"]["name"]}

    bridge.function("echo", echo)
    bridge.route("echo", "/files/:name")
    head = f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode()
    response = await raw_exchange(bridge.port, head)
    assert json.loads(response.partition(b"\r\n\r\n")[2]) == path.removeprefix("/files/")


@pytest.mark.parametrize("path", ["/files/../secret", "/files/..", "/./files/a", "/files//a"])
async def test_dots_and_empty_segments_are_not_resolved(path: str, bridge: Bridge) -> None:
    bridge.function("secret", {"body": "secret"})
    bridge.route("secret", "/secret")
    bridge.route("secret", "/files/a")
    head = f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode()
    assert (await raw_exchange(bridge.port, head)).startswith(b"HTTP/1.1 404 ")


async def test_invalid_utf8_in_the_query_is_replaced_and_a_long_query_is_read(bridge: Bridge) -> None:
    async def echo(request: Any) -> Any:
        return {"body": request["query_params"]}

    bridge.function("echo", echo)
    bridge.route("echo", "/search")
    long = "&".join(f"k{number}=v" for number in range(5000))
    response = await bridge.client.get(f"/search?bad=%ff&plus=a+b&none&twice=1&twice=2&{long}")
    params = response.json()
    assert (params["bad"], params["plus"], params["none"], params["twice"]) == ("\ufffd", "a b", "", "2")
    assert len(params) == 5004


async def test_what_no_route_serves_is_refused(bridge: Bridge) -> None:
    bridge.function("f", {"body": 1})
    bridge.route("f", "/x", "GET")
    bridge.route("f", "/x", "PUT")
    bridge.route("f", "/post", "POST")
    missing = await bridge.client.get("/nothing")
    assert (missing.status_code, missing.json()) == (
        404,
        {"error": {"code": "NOT_FOUND", "message": "Not Found"}},
    )
    wrong_method = await bridge.client.delete("/x")
    assert (wrong_method.status_code, wrong_method.content) == (405, b"")
    assert wrong_method.headers["allow"] == "GET,HEAD,PUT"
    assert wrong_method.headers["access-control-allow-origin"] == "*"
    assert (await bridge.client.head("/post")).status_code == 405
    bridge.route("f", "/post", "HEAD")
    assert (await bridge.client.delete("/post")).headers["allow"] == "POST,HEAD"
    assert (await bridge.client.delete("/x/")).status_code == 404
    assert (await bridge.client.get("//x")).status_code == 404
    assert (await bridge.client.head("/x")).status_code == 404
    assert (await bridge.client.request("TRACE", "/x")).status_code == 405


async def test_an_explicit_head_route_answers_without_a_body(bridge: Bridge) -> None:
    async def method(request: Any) -> Any:
        return {"body": request["method"]}

    bridge.function("f", method)
    bridge.route("f", "/x", "HEAD")
    response = await bridge.client.head("/x")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == str(len('"HEAD"'))


async def test_every_options_request_is_a_preflight(bridge: Bridge) -> None:
    response = await bridge.client.options("/nothing", headers={"origin": "http://a"})
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["access-control-allow-methods"] == "*"
    assert response.headers["access-control-allow-headers"] == "*"


async def test_a_listed_origin_is_named_in_the_response(make_bridge: MakeBridge) -> None:
    bridge = await make_bridge(cors=CorsSettings(allowed_origins=("http://a",)))
    bridge.function("f", {"headers": {"access-control-allow-origin": "*"}, "body": 1})
    bridge.route("f", "/x")
    allowed = await bridge.client.get("/x", headers={"origin": "http://a"})
    assert allowed.headers["access-control-allow-origin"] == "http://a"
    refused = await bridge.client.get("/y", headers={"origin": "http://b"})
    assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize(
    ("status", "sent"), [(200, 200), (204, 204), (304, 304), (404, 404), (500, 500), (799, 799)]
)
async def test_the_function_chooses_the_status(status: int, sent: int, bridge: Bridge) -> None:
    bridge.function("f", {"status_code": status, "headers": {"content-length": "3"}, "body": {"a": 1}})
    bridge.route("f", "/x")
    response = await bridge.client.get("/x")
    assert response.status_code == sent
    assert response.content == (b"" if status in (204, 304) else b'{"a":1}')


async def test_an_interim_status_cannot_end_a_response(bridge: Bridge) -> None:
    bridge.function("f", {"status_code": 100})
    bridge.route("f", "/x")
    response = await bridge.client.get("/x")
    assert (response.status_code, response.json()["error"]["code"]) == (500, "INTERNAL_ERROR")


async def test_two_cookies_can_be_set(bridge: Bridge) -> None:
    bridge.function("f", {"headers": ["Set-Cookie: a=1", "Set-Cookie: b=2"]})
    bridge.route("f", "/x")
    assert (await bridge.client.get("/x")).headers.get_list("set-cookie") == ["a=1", "b=2"]


async def test_a_failing_function_is_a_500_with_its_code(bridge: Bridge) -> None:
    async def fail(_: Any) -> Any:
        raise FunctionFailedError("invocation_failed", "kaput", "Traceback ...")

    bridge.function("f", fail)
    bridge.route("f", "/x")
    bridge.route("nobody", "/gone")
    failed = await bridge.client.get("/x")
    error = failed.json()["error"]
    assert (failed.status_code, error["code"], error["message"]) == (500, "invocation_failed", "kaput")
    assert int(error["error_id"], 16) > 0
    assert "Traceback" not in failed.text
    gone = await bridge.client.get("/gone")
    assert (gone.status_code, gone.json()["error"]["code"]) == (500, "function_not_found")
    assert "Function nobody not found in namespace default" in gone.json()["error"]["message"]


async def test_a_body_that_is_not_json_is_null_and_the_function_still_runs(bridge: Bridge) -> None:
    async def echo(request: Any) -> Any:
        return {"body": [request["body"]]}

    bridge.function("f", echo)
    bridge.route("f", "/x", "POST")
    json_type = {"content-type": "application/json"}
    for content, headers in ((b"{", json_type), (b"", json_type), (b"text", {"content-type": "text/plain"})):
        response = await bridge.client.post("/x", content=content, headers=headers)
        assert (response.status_code, response.json()) == (200, [None])
    assert (await bridge.client.request("POST", "/x", headers=json_type)).status_code == 200


@pytest.mark.parametrize(
    ("answer", "status"), [(False, 422), (True, 200), (None, 200), (0, 200), ("no", 200), ({}, 200)]
)
async def test_only_false_fails_a_condition(answer: Any, status: int, bridge: Bridge) -> None:
    bridge.function("condition", answer)
    bridge.function("f", {"body": 1})
    bridge.route("f", "/x", condition_function_id="condition")
    response = await bridge.client.get("/x")
    assert response.status_code == status
    if status == 422:
        assert response.json() == {
            "error": {"code": "CONDITION_NOT_MET", "message": "Request condition not met"},
            "skipped": True,
        }
    assert b"request_body" not in bytes(bridge.calls[0].data)


@pytest.mark.parametrize(
    ("condition", "code"), [("nobody", "function_not_found"), ("broken", "invocation_failed")]
)
async def test_a_failing_condition_is_a_500(condition: str, code: str, bridge: Bridge) -> None:
    async def fail(_: Any) -> Any:
        raise FunctionFailedError("invocation_failed", "kaput")

    bridge.function("broken", fail)
    bridge.function("f", {"body": 1})
    bridge.route("f", "/x", condition_function_id=condition)
    response = await bridge.client.get("/x")
    assert (response.status_code, response.json()["error"]["code"]) == (500, code)
    assert "f" not in [call.function_id for call in bridge.calls]


RESPOND = {"action": "respond", "response": {"status_code": 403, "body": {"error": "nope"}}}
CONTINUE = {"action": "continue"}


async def test_middleware_runs_in_order_and_may_answer(bridge: Bridge) -> None:
    bridge.function("first", CONTINUE)
    bridge.function("second", RESPOND)
    bridge.function("f", {"body": 1})
    bridge.route("f", "/continues", middleware_function_ids=["first"])
    bridge.route("f", "/answers", middleware_function_ids=["first", "second"])
    bridge.route("f", "/fails", middleware_function_ids=["nobody"])
    assert (await bridge.client.get("/continues")).json() == 1
    assert [call.function_id for call in bridge.calls] == ["first", "f"]
    answered = await bridge.client.get("/answers")
    assert (answered.status_code, answered.json()) == (403, {"error": "nope"})
    assert [call.function_id for call in bridge.calls] == ["first", "f", "first", "second"]
    assert (await bridge.client.get("/fails")).status_code == 500


async def test_global_middleware_comes_first_and_only_on_routes(make_bridge: MakeBridge) -> None:
    bridge = await make_bridge(middleware=(GlobalMiddleware("global"),))
    bridge.function("global", {"action": "respond", "response": {"status_code": 401}})
    bridge.function("own", CONTINUE)
    bridge.route("f", "/x", middleware_function_ids=["own"])
    assert (await bridge.client.get("/x")).status_code == 401
    assert [call.function_id for call in bridge.calls] == ["global"]
    assert (await bridge.client.get("/nothing")).status_code == 404
    assert (await bridge.client.post("/x")).status_code == 405
    assert len(bridge.calls) == 1


async def test_a_request_that_takes_too_long_is_a_bare_504(make_bridge: MakeBridge) -> None:
    bridge = await make_bridge(default_timeout_ms=1_000)  # within which a busy machine serves `/fine`
    released = asyncio.Event()

    async def wait(_: Any) -> Any:
        await released.wait()
        return {"body": "late"}

    bridge.function("slow", wait)
    bridge.function("nothing", None)
    bridge.function("f", {"body": 1})
    bridge.route("slow", "/slow")
    bridge.route("nothing", "/nothing")
    bridge.route("f", "/middleware", middleware_function_ids=["slow"])
    bridge.route("f", "/fine")
    late = ("/slow", "/nothing", "/middleware")
    for response in await asyncio.gather(*(bridge.client.get(path) for path in late)):
        assert (response.status_code, response.content) == (504, b"")
        assert "access-control-allow-origin" not in response.headers
    assert (await bridge.client.get("/fine")).status_code == 200
    released.set()
    assert len(bridge.channels) == 0


async def test_requests_beyond_the_limit_wait_for_their_turn(make_bridge: MakeBridge) -> None:
    bridge = await make_bridge(concurrency_request_limit=2)
    running = most = 0

    async def count(_: Any) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return {"body": 1}

    bridge.function("f", count)
    bridge.route("f", "/x")
    responses = await asyncio.gather(*(bridge.client.get("/x") for _ in range(40)))
    assert [each.status_code for each in responses] == [200] * 40
    assert most == 2


async def test_the_route_of_the_namespace_runs_there_strictly(bridge: Bridge) -> None:
    bridge.function("f", {"body": "default"})
    bridge.engine.triggers.bind(
        Binding("id", "http", "f", payload.encode({"api_path": "/x"}), namespace="orders")
    )
    response = await bridge.client.get("/x")
    assert response.json()["error"]["code"] == "function_not_found"
    assert "namespace orders" in response.json()["error"]["message"]


async def test_metadata_and_trace_reach_the_handler(bridge: Bridge) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    bridge.function("f", {"body": 1})
    bridge.engine.triggers.bind(
        Binding(
            "id", "http", "f", payload.encode({"api_path": "/x"}), metadata=payload.encode({"team": "shop"})
        )
    )
    await bridge.client.get("/x", headers={"traceparent": trace, "baggage": "user=7"})
    (call,) = bridge.calls
    assert call.traceparent is not None
    assert call.traceparent.split("-")[:2] == trace.split("-")[:2]
    assert (call.baggage, bytes(call.metadata)) == ("user=7", b'{"team":"shop"}')
    assert b"_caller_worker_id" not in bytes(call.data)


async def test_an_unbound_route_is_gone_at_once(bridge: Bridge) -> None:
    bridge.function("f", {"body": 1})
    binding = bridge.route("f", "/x")
    assert (await bridge.client.get("/x")).status_code == 200
    bridge.engine.triggers.unbind(binding.id)
    assert (await bridge.client.get("/x")).status_code == 404


async def test_an_error_inside_the_bridge_costs_one_request(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge.function("f", {"body": 1})
    bridge.route("f", "/x")
    with monkeypatch.context() as broken:
        broken.setattr(bridge.channels, "create", lambda **_: 1 / 0)
        failed = await bridge.client.get("/x")
    assert (failed.status_code, failed.json()["error"]["code"]) == (500, "INTERNAL_ERROR")
    assert failed.json()["error"]["message"] == "internal server error"
    assert (await bridge.client.get("/x")).status_code == 200


async def test_headers_and_query_are_never_logged(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    bridge.function("f", {"body": 1})
    bridge.function("odd", "neither continue nor respond")
    bridge.route("f", "/x", middleware_function_ids=["odd"])
    secrets = {
        "authorization": "Bearer s3cr3t",
        "cookie": "s3cr3t",
        "x-api-key": "s3cr3t",
        "baggage": "a=s3cr3t",
    }
    with structlog.testing.capture_logs() as logs, monkeypatch.context() as broken:
        await bridge.client.get("/x?token=s3cr3t", headers=secrets)
        broken.setattr(bridge.channels, "create", lambda **_: 1 / 0)
        await bridge.client.get("/x?token=s3cr3t", headers=secrets)
    assert [entry["log_level"] for entry in logs if entry["log_level"] != "debug"] == ["warning", "error"]
    assert "s3cr3t" not in str(logs)


async def test_no_channel_is_left_behind(bridge: Bridge) -> None:
    bridge.function("f", {"body": 1})
    bridge.route("f", "/x", "POST")
    bridge.route("nobody", "/fails", "POST")
    for path in ("/x", "/fails"):
        await bridge.client.post(path, json={"a": 1})
        await bridge.client.post(path, content=b"text")
    assert len(bridge.channels) == 0


async def test_responses_carry_a_date_and_no_server(bridge: Bridge) -> None:
    response: httpx.Response = await bridge.client.get("/nothing")
    assert "date" in response.headers
    assert "server" not in response.headers


async def test_the_documentation_is_served_where_no_route_is(bridge: Bridge) -> None:
    bridge.function("orders::create", {"body": "mine"})
    bridge.route("orders::create", "/orders/:id", "POST")
    document = (await bridge.client.get("/openapi.json")).json()
    assert document["paths"]["/orders/{id}"]["post"]["x-iii-function-id"] == "orders::create"
    page = await bridge.client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    bridge.route("orders::create", "/docs")
    assert (await bridge.client.get("/docs")).json() == "mine"
