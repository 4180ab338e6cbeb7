"""The pages of the documentation, and the fenced blocks in them."""

import re
from dataclasses import dataclass
from textwrap import dedent

from tests.support.dockerfile import ROOT

__all__ = ["NOT_RUN", "PAGES", "Fence", "commands", "fences"]

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (
        ROOT / "README.md",
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "deploy" / "README.md",
        *(ROOT / "examples").glob("*/README.md"),
    )
)
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_CONTINUED = re.compile(r" *\\\n\s*")


@dataclass(frozen=True)
class Fence:
    """A fenced block.

    Attributes:
        page: Where it is, from the top of the repository.
        number: Which it is among those of its language on the page, from 0.
        language: What it says it is; empty for pictures and for output.
        text: What is in it.
    """

    page: str
    number: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}-{self.language}-{self.number}"


def fences(language: str, *pages: str) -> list[Fence]:
    """Return the blocks of a language, in order; without pages those of all."""
    found: list[Fence] = []
    for page in pages or PAGES:
        blocks = _FENCE.findall((ROOT / page).read_text(encoding="utf-8"))
        texts = [dedent(text) for _, said, text in blocks if said == language]
        found += [Fence(page, number, language, text) for number, text in enumerate(texts)]
    return found


def commands(page: str) -> list[str]:
    """Return the shell commands of a page in order, each in one line and without its comment."""
    lines = [
        re.sub(r"\s+#.*", "", line).strip()
        for fence in fences("sh", page)
        for line in _CONTINUED.sub(" ", fence.text).splitlines()
    ]
    return [command for line in lines if line and not line.startswith("#") for command in line.split(" && ")]


NOT_RUN = {
    "git clone <this repository> iii-temporal": "the tests run in a clone",
    "cd iii-temporal": "the tests run in a clone",
    "make run": "it installs, and then runs `iii-temporal demo`, which has tests of its own",
    "make install": "the tests run in what it makes",
    ". .venv/bin/activate": "the tests run in what it activates",
    "iii-temporal dev": "the tests start it on ports of their own, with the configuration of the page",
    "iii-temporal dev --config examples/migrating_transfer/iii-config.yaml": (
        "the tests start a server and a bridge with this file, on ports of their own"
    ),
    "pip install iii-sdk==0.25.0": "the tests have that very version, which `pyproject.toml` names",
    "pip install temporalio": "the tests have it, which `pyproject.toml` names",
    "npm install": "the tests install what `package.json` names, once for all tests",
    "cd typescript": "the tests run the program in a copy of that directory",
    "node worker.mjs": "the tests of the order pipeline run it, with the SDKs that the page names",
    """sqlite3 data/state/bridge-state.sqlite3 ".backup 'state-backup.sqlite3'\"""": (
        "the tests install no program sqlite3"
    ),
}
"""Commands of the pages that no test runs as they stand, and why."""
