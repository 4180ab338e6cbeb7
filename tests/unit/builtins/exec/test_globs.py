"""Which files a glob means: by directory and extension, as in iii (spec 05 §7)."""

from pathlib import Path

import pytest

from bridge.builtins.exec.globs import WatchedFiles


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a.ts", "b.js", "c.py", "Makefile", ".env", "deep/d.ts", "deep/er/e.ts"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return tmp_path


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("*.ts", ["a.ts"]),
        ("**/*.ts", ["a.ts", "deep/d.ts", "deep/er/e.ts"]),
        ("*.{ts,js}", ["a.ts", "b.js"]),
        ("deep/*.ts", ["deep/d.ts"]),
        ("deep/**/*.ts", ["deep/d.ts", "deep/er/e.ts"]),
        ("other-name*.ts", ["a.ts"]),
        ("Makefile", []),
        ("*", []),
        ("missing/**/*.ts", []),
    ],
)
def test_a_glob_means_a_directory_and_an_extension(tree: Path, glob: str, found: list[str]) -> None:
    seen = WatchedFiles((f"{tree}/{glob}",)).look()

    assert sorted(str(Path(path).relative_to(tree)) for path in seen) == found


def test_changes_are_seen(tree: Path) -> None:
    files = WatchedFiles((f"{tree}/**/*.ts",))
    before = files.look()
    (tree / "c.py").write_text("changed")
    assert files.look() == before

    (tree / "a.ts").write_text("longer than before")
    changed = files.look()
    assert changed != before

    (tree / "a.ts").unlink()
    assert len(files.look()) == len(before) - 1


def test_links_to_directories_are_not_followed(tree: Path) -> None:
    (tree / "deep" / "loop").symlink_to(tree)

    assert len(WatchedFiles((f"{tree}/**/*.ts",)).look()) == 3
