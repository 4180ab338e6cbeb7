"""The Dockerfile, read far enough to run what it says without an engine."""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Instruction:
    """One line of a stage, continuation lines joined."""

    name: str
    text: str

    @property
    def command(self) -> list[str]:
        """The words of an exec form, also behind HEALTHCHECK's options."""
        return list(json.loads(self.text[self.text.index("[") :]))


def stages() -> dict[str, list[Instruction]]:
    """Return the instructions of every stage by its name, without their FROM."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    found: dict[str, list[Instruction]] = {}
    for line in filter(None, text.replace("\\\n", " ").splitlines()):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found[rest.split(" AS ")[1]] = current = []
        else:
            current.append(Instruction(name, " ".join(rest.split()) if name != "RUN" else rest))
    return found


def last(stage: str, name: str) -> Instruction:
    """Return the instruction of a name that counts."""
    return [each for each in stages()[stage] if each.name == name][-1]


def copied_files() -> list[str]:
    """Return what COPY takes from the repository."""
    copies = [each for stage in stages().values() for each in stage if each.name == "COPY"]
    return [
        source
        for each in copies
        if not each.text.startswith("--from")
        for source in shlex.split(each.text)[:-1]
    ]
