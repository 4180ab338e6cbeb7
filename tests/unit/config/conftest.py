from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from bridge.config import BridgeConfig, InvalidConfigError, Problem, load_config

Load = Callable[..., BridgeConfig]
Reject = Callable[..., list[Problem]]


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    return tmp_path / "iii-config.yaml"


@pytest.fixture
def load(config_file: Path) -> Load:
    """Load a configuration from the text of its file."""

    def from_text(
        text: str,
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> BridgeConfig:
        config_file.write_text(dedent(text), encoding="utf-8")
        return load_config(config_file, environ=environ or {}, overrides=overrides)

    return from_text


@pytest.fixture
def reject(load: Load) -> Reject:
    """Load a configuration that has problems, and return them."""

    def from_text(
        text: str,
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, object] | None = None,
    ) -> list[Problem]:
        with pytest.raises(InvalidConfigError) as caught:
            load(text, environ, overrides)
        return list(caught.value.problems)

    return from_text


@pytest.fixture
def load_without_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load what a bridge gets that was given no path, in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def without_path(environ: Mapping[str, str] | None = None, **overrides: object) -> BridgeConfig:
        return load_config(None, environ=environ or {}, overrides=overrides)

    return without_path
