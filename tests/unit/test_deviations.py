import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "deviations.md").read_text()
ROWS = re.findall(r"^\| (\d+) \|.*\| `(\S+)` \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("number", "test"), ROWS)
def test_a_deviation_names_a_test_that_exists(number: str, test: str) -> None:
    path, _, name = test.partition("::")
    assert re.search(rf"def {name}\(", (ROOT / path).read_text()), f"deviation {number}: {test}"


def test_deviations_are_numbered_without_gaps() -> None:
    assert [int(number) for number, _ in ROWS] == list(range(1, len(ROWS) + 1))
    assert len(ROWS) == len(re.findall(r"^\| \d+ \|", PAGE, re.MULTILINE))
