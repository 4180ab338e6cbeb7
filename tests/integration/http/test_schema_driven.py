"""Requests made from the served OpenAPI document, valid and invalid ones, get what the document promises."""

import asyncio
import importlib
from collections.abc import Sequence
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.integration.http.raw_worker import RawWorker, raw_worker
from tests.integration.http.running_bridge import Bridge
from tests.support.waiting import PATIENCE_S

EXAMPLES = 50

# `drive` would import it in its thread, and Python 3.11 cannot parse in two threads at the same time.
importlib.import_module("schemathesis.specs.openapi.schemas")

# It is the bridge, in the main thread, that uses it while a strategy runs.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

TEXT = {"type": "string", "minLength": 1}
LINE = {
    "type": "object",
    "properties": {"sku": TEXT, "quantity": {"type": "integer", "minimum": 1}},
    "required": ["sku", "quantity"],
}
ORDER_REQUEST = {
    "type": "object",
    "properties": {
        "query_params": {
            "type": "object",
            "properties": {"dry": {"enum": ["0", "1"]}, "tag": TEXT},
            "required": ["dry"],
        },
        "body": {"$ref": "#/$defs/Order"},
    },
    "$defs": {
        "Line": LINE,
        "Order": {
            "type": "object",
            "properties": {
                "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
                "note": {"type": ["string", "null"]},
            },
            "required": ["lines"],
        },
    },
}
ORDER_RESPONSE = {
    "type": "object",
    "properties": {
        "status_code": {"type": "integer"},
        "body": {
            "type": "object",
            "properties": {"id": TEXT, "dry": {"type": ["string", "null"]}, "body": {}},
            "required": ["id", "dry", "body"],
        },
    },
}
NOTE = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}


async def _order(request: Any) -> Any:
    dry = request["query_params"].get("dry")
    return {"body": {"id": request["path_params"]["id"], "dry": dry, "body": request["body"]}}


async def _echo(request: Any) -> Any:
    return {"body": request["body"] or {}}


async def _count(request: Any) -> Any:
    return {"body": len(request["path_params"])}


async def offer_routes(worker: RawWorker) -> None:
    await worker.function("orders::put", _order, request_format=ORDER_REQUEST, response_format=ORDER_RESPONSE)
    await worker.route("orders::put", "/shops/:shop/orders/{id}", "PUT")
    await worker.function("orders::get", _order, response_format=ORDER_RESPONSE)
    await worker.route("orders::get", "orders/:id", "GET")
    await worker.function("notes::create", _echo, request_format=NOTE)
    await worker.route("notes::create", "/notes", "POST")
    await worker.function("notes::drop", _count)
    await worker.route("notes::drop", "/notes/:a/:b", "DELETE")


def drive(
    url: str, methods: Sequence[str], mode: GenerationMode, checks: Sequence[CheckFunction]
) -> dict[str, int]:
    """Make requests for the operations and check the responses; returns how many each one got."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json").include(method=list(methods))
    schema.config.base_url = url
    made: dict[str, int] = {}
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: schemathesis.Case) -> None:
            made[case.operation.label] = made.get(case.operation.label, 0) + 1
            case.call_and_validate(checks=list(checks), timeout=PATIENCE_S)

        ask()
    return made


@pytest.mark.parametrize(
    ("methods", "mode", "checks"),
    [
        pytest.param(
            ("GET", "POST", "PUT", "DELETE"),
            GenerationMode.POSITIVE,
            (
                not_a_server_error,
                status_code_conformance,
                content_type_conformance,
                response_schema_conformance,
            ),
            id="valid",
        ),
        # Every path is a valid one for a route whose parameters are text.
        pytest.param(("POST", "PUT"), GenerationMode.NEGATIVE, (not_a_server_error,), id="invalid"),
    ],
)
async def test_requests_made_from_the_document_are_answered_as_it_says(
    methods: Sequence[str], mode: GenerationMode, checks: Sequence[CheckFunction], bridge: Bridge
) -> None:
    async with raw_worker(bridge.worker_url) as worker:
        await offer_routes(worker)
        url = f"http://127.0.0.1:{bridge.port}"
        made = await asyncio.to_thread(drive, url, methods, mode, checks)
        assert {label.split()[0] for label in made} == set(methods)
        assert len(worker.called) > EXAMPLES
    assert len(bridge.channels) == 0
