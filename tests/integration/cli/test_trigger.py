"""`iii-temporal trigger` over a real worker socket (spec 05 §8.2)."""

import asyncio
import json

from click.testing import CliRunner

from bridge.cli import main
from bridge.errors import FunctionFailedError
from tests.integration.cli.conftest import Trigger
from tests.integration.stream.running_bridge import Bridge, eventually
from tests.support.pipeline_processes import free_port


async def test_the_result_is_printed_as_indented_json(bridge: Bridge, trigger: Trigger) -> None:
    bridge.offer("math::double", lambda data: {"double": data["of"] * 2, "text": "Zürich"})
    result = await trigger("math::double", "of=21")
    assert result.exit_code == 0
    assert result.stdout == '{\n  "double": 42,\n  "text": "Zürich"\n}\n'


async def test_a_null_result_prints_nothing(bridge: Bridge, trigger: Trigger) -> None:
    bridge.offer("math::nothing", lambda _: None)
    result = await trigger("math::nothing")
    assert (result.exit_code, result.output) == (0, "")


async def test_the_short_form_of_the_command_works(bridge: Bridge) -> None:
    bridge.offer("math::one", lambda _: 1)
    port = bridge.worker_url.rpartition(":")[2]
    result = await asyncio.to_thread(CliRunner().invoke, main, ["t", "math::one", "--port", port])
    assert result.stdout == "1\n"


async def test_where_the_bridge_is_comes_from_the_environment_unless_a_flag_says_so(bridge: Bridge) -> None:
    bridge.offer("math::one", lambda _: 1)
    port = bridge.worker_url.rpartition(":")[2]
    environ = {"III_TEMPORAL_TRIGGER_PORT": port}

    def run(*arguments: str) -> int:
        return CliRunner().invoke(main, ["trigger", "math::one", *arguments], env=environ).exit_code

    assert await asyncio.to_thread(run) == 0
    assert await asyncio.to_thread(run, "--port", str(free_port())) == 1


async def test_an_error_of_the_function_is_printed_as_json_on_stderr(
    bridge: Bridge, trigger: Trigger
) -> None:
    def fail(_: object) -> None:
        raise FunctionFailedError("NO_STOCK", "there are no mugs left", "at warehouse")

    bridge.offer("orders::ship", fail)
    result = await trigger("orders::ship")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: {\n")
    assert json.loads(result.stderr.removeprefix("Error: ")) == {
        "code": "NO_STOCK",
        "message": "there are no mugs left",
        "stacktrace": "at warehouse",
    }


async def test_a_function_that_nobody_offers_is_an_error(trigger: Trigger) -> None:
    result = await trigger("nobody::there")
    assert result.exit_code == 1
    assert json.loads(result.stderr.removeprefix("Error: "))["code"] == "function_not_found"


async def test_a_void_call_runs_though_the_caller_leaves_at_once(bridge: Bridge, trigger: Trigger) -> None:
    calls: list[object] = []
    bridge.offer("audit::note", calls.append)
    result = await trigger("audit::note", "what=login", "--void")
    assert (result.exit_code, result.output) == (0, "")
    await eventually(lambda: len(calls) == 1)


async def test_an_enqueue_that_is_not_accepted_is_an_error(trigger: Trigger) -> None:
    result = await trigger("orders::ship", "--queue", "order-ship")
    assert result.exit_code == 1
    assert json.loads(result.stderr.removeprefix("Error: "))["code"] == "enqueue_error"


async def test_queue_and_void_contradict_each_other(trigger: Trigger) -> None:
    result = await trigger("orders::ship", "--queue", "order-ship", "--void")
    assert result.exit_code == 1
    assert "choose one" in result.stderr


async def test_without_a_function_path_the_error_names_it(trigger: Trigger) -> None:
    result = await trigger()
    assert result.exit_code == 1
    assert "missing FUNCTION_PATH" in result.stderr


async def test_an_answer_that_does_not_come_in_time_is_an_error(bridge: Bridge, trigger: Trigger) -> None:
    answer = asyncio.Event()
    bridge.offer("math::slow", lambda _: answer.wait())
    result = await trigger("math::slow", "--timeout-ms", "200")
    answer.set()
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: Timed out waiting for the engine")


async def test_a_port_where_no_bridge_is_is_an_error(trigger: Trigger) -> None:
    result = await trigger("math::one", "--port", str(free_port()))
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: WebSocket error:")


async def test_a_result_larger_than_a_mebibyte_arrives(bridge: Bridge, trigger: Trigger) -> None:
    bridge.offer("texts::long", lambda _: "x" * 2_000_000)
    result = await trigger("texts::long")
    assert result.exit_code == 0
    assert len(result.stdout) > 2_000_000


async def test_the_caller_is_listed_under_iiis_name_for_it(trigger: Trigger) -> None:
    result = await trigger("engine::workers::list", "search=iii-cli")
    assert [worker["name"] for worker in json.loads(result.stdout)["workers"]] == ["iii-cli:trigger"]


async def test_help_with_a_function_shows_what_it_takes(trigger: Trigger) -> None:
    result = await trigger("state::set", "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("state::set\n")
    assert "\nParameters:\n" in result.stdout
    assert "--json" in result.stdout


async def test_help_without_a_function_shows_the_command(trigger: Trigger) -> None:
    result = await trigger("--help")
    assert result.exit_code == 0
    assert "FUNCTION_PATH" in result.stdout
    assert "--json" in result.stdout
    assert "--function-id" not in result.stdout


async def test_help_with_a_function_that_nobody_offers_is_an_error(trigger: Trigger) -> None:
    result = await trigger("nobody::there", "--help")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "not registered" in result.stderr


async def test_help_with_a_function_but_no_bridge_shows_the_command_with_a_warning(trigger: Trigger) -> None:
    result = await trigger("math::one", "--help", "--port", str(free_port()))
    assert result.exit_code == 0
    assert result.stderr.startswith("Warning: WebSocket error:")
    assert "FUNCTION_PATH" in result.stdout


async def test_flags_of_iii_before_0_12_are_refused(trigger: Trigger) -> None:
    for flag in ("--function-id", "--payload"):
        result = await trigger(flag, "x")
        assert result.exit_code == 2
        assert "No such option" in result.stderr
