"""The order of a FIFO group's line, over what the lane has here, annexes, and who joins behind them."""

from workflows.contract import AnnexPage, LaneStart, Place, Tenancy
from workflows.line import Line, page_of


def place(receipt: str, chain: str = "chain") -> Place:
    return Place(receipt, chain_workflow_id=chain)


def line(*receipts: str, annexes: tuple[str, ...] = ()) -> Line:
    return Line(LaneStart(Tenancy(), "q", "g", tuple(map(place, receipts)), annexes=annexes))


def here(of: Line) -> str:
    return "".join(each.receipt for each in of.here)


def behind(of: Line) -> str:
    return "".join(each.receipt for each in of.behind)


def test_who_joins_stands_at_the_end_and_who_stands_in_line_stays() -> None:
    full = line("a", "b")
    for receipt in "cab":
        full.join(place(receipt))
    assert here(full) == "abc"


def test_a_place_may_become_another_thing_without_moving() -> None:
    full = line("a", "b")
    full.put(place("a", "another"))
    assert here(full) == "ab"
    assert full.find("a") == place("a", "another")


def test_who_joins_while_there_are_annexes_is_served_after_them() -> None:
    full = line("a", annexes=("x", "y"))
    full.join(place("d"))
    full.take(AnnexPage((place("b"),)))
    full.take(AnnexPage(is_closed=True))
    assert (here(full), behind(full), full.annexes) == ("ab", "d", ["y"])
    full.take(AnnexPage((place("c"),)))
    full.take(AnnexPage(is_closed=True))
    assert (here(full), behind(full), full.annexes) == ("abcd", "", [])


def test_an_annex_that_was_full_is_followed_by_the_next() -> None:
    full = line(annexes=("x", "y"))
    full.take(AnnexPage((place("a"), place("b"))))
    assert full.taken == 2
    full.take(AnnexPage(is_closed=True, follower="x2"))
    assert (full.annexes, full.taken) == (["x2", "y"], 0)


def test_who_asks_again_while_an_annex_has_the_place_keeps_it() -> None:
    full = line(annexes=("x",))
    for receipt in "cb":
        full.put(place(receipt))
    full.take(AnnexPage((place("a"), place("b"))))
    full.take(AnnexPage(is_closed=True))
    assert here(full) == "abc"


def test_a_closed_line_keeps_its_head_and_lets_nobody_join_it() -> None:
    full = line(*"abcd")
    full.close(2)
    full.join(place("e"))
    assert (here(full), behind(full)) == ("ab", "cde")


def test_a_closed_line_before_annexes_keeps_all_of_its_own() -> None:
    full = line(*"abcd", annexes=("x",))
    full.close(2)
    assert (here(full), behind(full)) == ("abcd", "")


def test_a_held_place_comes_first_and_nobody_stands_twice() -> None:
    full = line(*"ab")
    full.join(place("c"))
    full.put_first(Place("c", is_held=True))
    assert here(full) == "cab"
    assert full.is_held("c")
    full.remove("c")
    assert here(full) == "ab"


def test_a_page_has_as_much_as_travels_at_once_and_at_least_one() -> None:
    assert len(page_of([place(str(n)) for n in range(500)])) == 200
    large = [Place(str(n), chain_workflow_id="x", payload="y") for n in range(3)]
    assert page_of(large) == large
    assert page_of([]) == []


def test_an_annex_that_made_itself_known_is_read_once_and_after_those_that_lead_to_it() -> None:
    full = line("a", annexes=("x", "y", "z"))
    full.take(AnnexPage(is_closed=True, follower="z"))
    assert full.annexes == ["z", "y"]
    full.take(AnnexPage(is_closed=True))
    full.take(AnnexPage(is_closed=True))
    assert full.annexes == []
