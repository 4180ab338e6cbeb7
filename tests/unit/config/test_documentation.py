"""docs/configuration.md names every key that is accepted, with its default, and no other."""

import base64
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.config import (
    Block,
    ConfigurationBlock,
    CronBlock,
    ExecBlock,
    HttpBlock,
    HttpFunctionsBlock,
    ListenerBlock,
    ObservabilityBlock,
    PubSubBlock,
    QueueBlock,
    StateBlock,
    StreamBlock,
    TemporalBlock,
)
from tests.support.pages import Fence, fences
from tests.support.pki import Authority

Build = Callable[..., Any]
PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"
BLOCKS: dict[str, type[Block]] = {
    "iii-temporal": TemporalBlock,
    "iii-worker-manager": ListenerBlock,
    "iii-http": HttpBlock,
    "iii-state": StateBlock,
    "iii-stream": StreamBlock,
    "iii-queue": QueueBlock,
    "iii-pubsub": PubSubBlock,
    "iii-cron": CronBlock,
    "iii-http-functions": HttpFunctionsBlock,
    "iii-exec": ExecBlock,
    "configuration": ConfigurationBlock,
    "iii-observability": ObservabilityBlock,
}
# Computed from another key; the page says how.
ABSENT = "\N{EN DASH}"
DERIVED = {"ui_url", "queue_configs.<name>.max_backoff_ms"}


def documented(block: str) -> dict[str, str]:
    section = re.search(
        rf"^## `{block}`.*?(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert section is not None, f"no section for {block}"
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \| ([^|]+) \|", section[0], re.MULTILINE)
    return {key: default.strip().strip("`") for key, default in rows}


def accepted(model: type[Block]) -> dict[str, str | None]:
    schema = model.model_json_schema()
    return dict(keys_of(schema, schema, ""))


def keys_of(root: dict[str, Any], schema: dict[str, Any], prefix: str) -> Iterator[tuple[str, str | None]]:
    for key, value in schema["properties"].items():
        path = f"{prefix}{key}"
        choices = [each for each in alternatives(root, value) if each["type"] != "null"]
        tags = {tag: choice for choice in choices if (tag := tag_of(choice))}
        if len(tags) > 1:
            yield from union_keys(root, tags, path)
        elif choices[0]["type"] == "object":
            is_list = any("items" in each for each in alternatives(root, value, into_items=False))
            yield from mapping_keys(root, choices[0], path + ("[]" if is_list else ""), key, value, schema)
        elif path in DERIVED:
            yield path, None
        else:
            yield path, default_of(key, value, schema)


def mapping_keys(
    root: dict[str, Any],
    mapping: dict[str, Any],
    path: str,
    key: str,
    value: dict[str, Any],
    parent: dict[str, Any],
) -> Iterator[tuple[str, str | None]]:
    if "properties" in mapping:
        yield from keys_of(root, mapping, f"{path}.")
    elif isinstance(mapping["additionalProperties"], dict):
        (entry,) = alternatives(root, mapping["additionalProperties"])
        if "properties" in entry:
            yield from keys_of(root, entry, f"{path}.<name>.")
        else:
            yield path, default_of(key, value, parent)
    elif mapping["additionalProperties"]:
        yield path, default_of(key, value, parent)


def union_keys(
    root: dict[str, Any], tags: dict[str, dict[str, Any]], path: str
) -> Iterator[tuple[str, str | None]]:
    discriminator = "name" if "name" in next(iter(tags.values()))["properties"] else "type"
    default = next(
        (tag for tag, each in tags.items() if "default" in each["properties"][discriminator]), "required"
    )
    yield f"{path}.{discriminator}", default
    for tag, choice in tags.items():
        inner = {
            **choice,
            "properties": {k: v for k, v in choice["properties"].items() if k != discriminator},
        }
        yield from keys_of(root, inner, f"{path}[{tag}].")


def tag_of(schema: dict[str, Any]) -> str | None:
    properties = schema.get("properties", {})
    tag: str | None = properties.get("name", properties.get("type", {})).get("const")
    return tag


def alternatives(
    root: dict[str, Any], schema: dict[str, Any], *, into_items: bool = True
) -> Iterator[dict[str, Any]]:
    if "$ref" in schema:
        yield from alternatives(root, root["$defs"][schema["$ref"].rpartition("/")[2]], into_items=into_items)
    elif choices := schema.get("anyOf") or schema.get("oneOf"):
        for choice in choices:
            yield from alternatives(root, choice, into_items=into_items)
    elif into_items and "items" in schema:
        yield from alternatives(root, schema["items"])
    else:
        yield schema


def default_of(key: str, value: dict[str, Any], schema: dict[str, Any]) -> str:
    if key in schema.get("required", ()):
        return "required"
    default = value["default"]
    if default in (None, []):
        return ABSENT
    return default if isinstance(default, str) else json.dumps(default)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_key_is_documented_with_its_default(block: str) -> None:
    page, code = documented(block), accepted(BLOCKS[block])
    assert sorted(page) == sorted(code)
    assert {key: page[key] for key, default in code.items() if default is not None} == {
        key: default for key, default in code.items() if default is not None
    }


EXAMPLES = [fence for fence in fences("yaml") if fence.page != "deploy/README.md"]  # that is Prometheus'


@pytest.fixture
def with_files(tmp_path: Path) -> Callable[[str], str]:
    """Put certificates and keys where a text names some under /etc or /run, and name them there."""
    signed = Authority(tmp_path).sign()

    def made(text: str) -> str:
        for name in re.findall(r"(?:/etc/iii|/run/secrets)/([\w/.-]+)", text):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            if name.endswith("api-key"):
                (tmp_path / name).write_text("a-key-of-temporal-cloud")
            else:
                shutil.copy(signed.key_file if name.endswith(".key") else signed.cert_file, tmp_path / name)
        return re.sub("/etc/iii|/run/secrets", str(tmp_path), text)

    return made


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_every_example_of_a_configuration_loads(
    load: Build, tmp_path: Path, with_files: Callable[[str], str], example: Fence
) -> None:
    is_whole = example.text.startswith(("workers:", "port:"))
    text = example.text if is_whole else f"workers:\n{example.text}"
    key = base64.b64encode(bytes(32)).decode()
    environ = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), key)
    if "profile:" in text:
        (profiles,) = fences("toml", example.page)
        (tmp_path / "temporal.toml").write_text(with_files(profiles.text))
        environ["TEMPORAL_CONFIG_FILE"] = str(tmp_path / "temporal.toml")
    assert load(with_files(text), environ).warnings == ()


def documented_as_live() -> dict[str, set[str]]:
    """Read from the page which keys of each block take effect while the bridge runs."""
    section = re.search(
        r"^## Changing it while the bridge runs$.*?(?=^## )", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    assert section is not None
    live: dict[str, set[str]] = {}
    for blocks, keys in re.findall(r"^\| (`[^|]+) \| ([^|]+) \|", section[0], re.MULTILINE):
        named = set(re.findall("`([^`]+)`", keys))
        for block in re.findall("`([^`]+)`", blocks):
            every = set(BLOCKS[block].model_json_schema()["properties"])
            assert named <= every, f"{block} has no {named - every}"
            live[block] = every - named if keys.startswith("every key") else named
    return live


@pytest.mark.parametrize("block", BLOCKS)
def test_the_page_says_which_keys_take_effect_while_the_bridge_runs(block: str) -> None:
    model = BLOCKS[block]
    keys = model.model_json_schema()["properties"]
    assert documented_as_live()[block] == {key for key in keys if key in model.live}
