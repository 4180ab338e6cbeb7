"""Builds the Rust worker once for every version of the SDK, into `.cache/rust`."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

__all__ = ["ToolchainError", "rust_worker"]

WORKSPACE = Path(__file__).parent
TARGET = WORKSPACE.parents[2] / ".cache" / "rust"
BUILD_LIMIT_S = 900


class ToolchainError(Exception):
    """The worker cannot be built; the message says why and what helps."""


def rust_worker(version: str) -> Path:
    """Return the worker built on a version of `iii-sdk` from crates.io.

    Raises:
        ToolchainError: There is no Cargo, or the build failed.
    """
    _build()
    return TARGET / "debug" / f"worker_{version.replace('.', '_')}"


@cache
def _build() -> None:
    cargo = shutil.which("cargo")
    if cargo is None:
        raise ToolchainError("no `cargo` on PATH. Install Rust 1.85 or newer, for example from rustup.rs.")
    build = subprocess.run(
        [cargo, "build", "--quiet", "--locked", "--target-dir", str(TARGET)],
        cwd=WORKSPACE,
        capture_output=True,
        text=True,
        timeout=BUILD_LIMIT_S,
        check=False,
    )
    if build.returncode:
        raise ToolchainError(f"the Rust worker does not build; is crates.io reachable?\n{build.stderr}")
