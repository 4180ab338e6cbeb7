"""Every fenced block of every page is run or read by a test, or is listed with the reason why not."""

import json

import pytest
import yaml

from bridge.config import TemporalBlock
from tests.support.dockerfile import ROOT
from tests.support.pages import NOT_RUN, PAGES, commands, fences

INTEGRATION = "tests/integration"
COMMANDS = f"{INTEGRATION}/docs/test_documented_commands.py"
READMES = f"{INTEGRATION}/examples/test_readmes.py"
PROGRAMS = f"{INTEGRATION}/docs/test_documented_programs.py"
COMMANDS_RUN_BY = {
    "README.md": COMMANDS,
    "docs/dead-letters.md": COMMANDS,
    "docs/migrating-from-temporal.md": COMMANDS,
    "docs/operations.md": COMMANDS,
    "docs/payloads.md": f"{INTEGRATION}/payloads/test_encryption.py",
    "examples/order_fulfillment/README.md": READMES,
    "examples/reactive_state/README.md": READMES,
    "examples/realtime_todo/README.md": f"{INTEGRATION}/stream/test_examples_in_the_browser.py",
    "examples/temporal_calls_iii/README.md": f"{INTEGRATION}/interop/test_examples.py",
    "examples/workflows/README.md": f"{INTEGRATION}/examples/test_workflows.py",
}
PYTHON_RUN_BY = {"docs/chains.md": PROGRAMS, "docs/interop.md": PROGRAMS}
JSON_READ_BY = {
    "docs/dead-letters.md": f"{INTEGRATION}/queue/test_alarms.py",
    "examples/order_fulfillment/README.md": READMES,
}
CONSOLE_RUN_BY = {"examples/workflows/README.md": f"{INTEGRATION}/examples/test_workflows.py"}
TYPESCRIPT_RUNS_AS = {"docs/interop.md": "examples/temporal_calls_iii/typescript/workflows.ts"}
LANGUAGES = {
    "sh": COMMANDS_RUN_BY,
    "python": PYTHON_RUN_BY,
    "json": JSON_READ_BY,
    "console": CONSOLE_RUN_BY,
    "ts": TYPESCRIPT_RUNS_AS,
}
READ_BY_TESTS_OF_CONFIGURATION = {"yaml", "toml"}
PICTURES_AND_OUTPUT = {""}


def languages() -> set[str]:
    known = LANGUAGES.keys() | READ_BY_TESTS_OF_CONFIGURATION | PICTURES_AND_OUTPUT
    blocks = {line for page in PAGES for line in (ROOT / page).read_text().splitlines()}
    said = {line.strip().removeprefix("```") for line in blocks if line.strip().startswith("```")}
    assert said <= known, said - known
    return said


def test_no_block_is_of_a_kind_that_nobody_runs() -> None:
    assert languages()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_with_such_blocks_has_a_test_that_runs_them(language: str) -> None:
    assert {fence.page for fence in fences(language)} == LANGUAGES[language].keys()
    assert all((ROOT / test).is_file() for test in LANGUAGES[language].values())


@pytest.mark.parametrize(
    "page", [page for page, test in COMMANDS_RUN_BY.items() if test in {COMMANDS, READMES}]
)
def test_a_test_that_takes_commands_from_pages_names_the_page(page: str) -> None:
    assert f'"{page}"' in (ROOT / COMMANDS_RUN_BY[page]).read_text()


@pytest.mark.parametrize(("page", "name"), [("docs/chains.md", "CHAINS"), ("docs/interop.md", "INTEROP")])
def test_every_piece_of_python_is_run(page: str, name: str) -> None:
    program = (ROOT / PROGRAMS).read_text()
    assert all(f"{name}[{fence.number}]" in program for fence in fences("python", page))


def test_what_is_not_run_is_still_documented() -> None:
    assert NOT_RUN.keys() <= {command for page in PAGES for command in commands(page)}


def test_the_typescript_of_the_pages_is_that_of_the_example() -> None:
    (fence,) = fences("ts")
    program = (ROOT / TYPESCRIPT_RUNS_AS[fence.page]).read_text()
    for name in (
        "proxyActivities<Shop>",
        "taskQueue",
        "startToCloseTimeout: '30 seconds'",
        "shop['payments::charge'](order)",
    ):
        assert name in fence.text
        assert name in program


def test_prometheus_is_told_of_rules_that_exist_and_of_the_admin_port() -> None:
    (fence,) = fences("yaml", "deploy/README.md")
    told = yaml.safe_load(fence.text)
    for name in told["rule_files"]:
        assert (ROOT / "deploy" / "prometheus" / name).is_file()
    admin = TemporalBlock().admin
    (job,) = told["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"{admin.host}:{admin.port}"]}]


def test_the_json_of_the_pages_can_be_read() -> None:
    for fence in fences("json"):
        assert json.loads(fence.text)
