"""Who may import whom (docs/architecture.md): lower layers know nothing of higher ones, nor of the world."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

IMPURE = (
    "socket",
    "time",
    "datetime",
    "random",
    "os",
    "pathlib",
    "sqlite3",
    "subprocess",
    "threading",
    "uuid",
)
FRAMEWORKS = ("temporalio", "websockets", "fastapi", "uvicorn", "httpx", "pydantic", "click", "yaml")
OUTER = ("bridge.app", "bridge.cli", "bridge.config", "bridge.live", "bridge.parts")

FORBIDDEN = {
    "bridge/protocol": (
        *IMPURE,
        *FRAMEWORKS,
        "asyncio",
        "structlog",
        *OUTER,
        "bridge.engine",
        "bridge.builtins",
    ),
    "bridge/engine": (
        *IMPURE,
        *FRAMEWORKS,
        *OUTER,
        "bridge.builtins",
        "bridge.listeners",
        "bridge.storage",
        "bridge.temporal",
        "workflows",
        "activities",
    ),
    "bridge/storage": (*OUTER, "bridge.builtins", "bridge.engine", "bridge.listeners", "bridge.temporal"),
    "bridge/listeners": (*OUTER, "bridge.storage", "bridge.temporal", "workflows", "activities"),
    "bridge/builtins": OUTER,
    "bridge/temporal": OUTER,
    "workflows": ("time", "random", "uuid", "socket", "bridge", "activities"),
    "activities": (*OUTER, "bridge.engine", "bridge.builtins", "bridge.listeners", "bridge.temporal"),
}


def imported_names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the layer"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_a_layer_imports_nothing_above_or_outside_it(layer):
    offences = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / layer).rglob("*.py"))
        for name in sorted(set(imported_names(path)))
        if any(is_within(name, package) for package in FORBIDDEN[layer])
    ]

    assert offences == []


def test_built_in_workers_do_not_import_each_other():
    builtins = ROOT / "bridge" / "builtins"
    packages = [each.name for each in builtins.iterdir() if (each / "__init__.py").exists()]
    offences = [
        f"{path.relative_to(ROOT)} imports {name}"
        for package in packages
        for path in sorted((builtins / package).rglob("*.py"))
        for name in sorted(set(imported_names(path)))
        for other in packages
        if other != package and is_within(name, f"bridge.builtins.{other}")
    ]

    assert offences == []
