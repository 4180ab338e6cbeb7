"""Requests become calls and results become responses, over real sockets."""

from tests.integration.http.running_bridge import Bridge


async def test_a_json_request_reaches_the_function_and_its_answer_the_client(bridge: Bridge) -> None:
    async def echo(request: dict) -> dict:
        return {"status_code": 201, "body": {"got": request["body"], "id": request["path_params"]["id"]}}

    bridge.function("echo", echo)
    bridge.route("echo", "items/:id", "POST")
    response = await bridge.client.post("/items/7", json={"name": "x"})
    assert response.status_code == 201
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"got": {"name": "x"}, "id": "7"}
