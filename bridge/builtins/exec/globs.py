"""Which files a glob of `watch` means, by iii's own rule (spec 05 §7)."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

__all__ = ["Snapshot", "WatchedFiles"]

Snapshot = dict[str, tuple[int, int]]
"""Modification time and size of each file, by path."""


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A glob: the text before the first `*` is a directory, the extension is what is compared.

    The rest of the file name means nothing, and a file without an extension never matches.
    """

    root: Path
    is_recursive: bool
    extensions: frozenset[str]

    def matches(self, name: str) -> bool:
        return PurePath(name).suffix.removeprefix(".") in self.extensions

    def files(self) -> Iterator[os.DirEntry[str]]:
        directories = [str(self.root)]
        while directories:
            try:
                entries = list(os.scandir(directories.pop()))
            except OSError:
                continue  # it is not there yet, or is gone again
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if self.is_recursive:
                        directories.append(entry.path)
                elif self.matches(entry.name):
                    yield entry


def _parse(glob: str) -> _Pattern:
    before, _, _ = glob.partition("*")
    root = Path(before) if before.endswith("/") or not before else Path(before).parent
    name = PurePath(glob).name
    extension = PurePath("x" + name.lstrip("*")).suffix.removeprefix(".") if "." in name else ""
    names = extension.removeprefix("{").removesuffix("}").split(",")
    return _Pattern(root, "**" in glob, frozenset(each.strip() for each in names if each.strip()))


class WatchedFiles:
    """The files that some globs mean.

    Args:
        globs: The globs, relative to the working directory.
    """

    def __init__(self, globs: tuple[str, ...]) -> None:
        self._patterns = [_parse(glob) for glob in globs]

    def look(self) -> Snapshot:
        """Look at every file now."""
        found: Snapshot = {}
        for pattern in self._patterns:
            for entry in pattern.files():
                try:
                    about = entry.stat()
                except OSError:
                    continue
                found[entry.path] = (about.st_mtime_ns, about.st_size)
        return found
