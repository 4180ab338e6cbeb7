"""The line of a FIFO group: who stands in it, and in which order."""

from collections import OrderedDict
from collections.abc import Sequence

from temporalio.common import RawValue

from workflows.contract import AnnexPage, LaneStart, Message, Parcel, Place, Progress
from workflows.moving import Loaded, json_value, size_bytes

__all__ = ["Line", "load", "own_place", "page_of", "payload_of"]

_PLACE_BYTES = 300
_MOST_PLACES_PER_PAGE = 200
_MOST_BYTES_PER_PAGE = 400_000
"""Temporal takes 2 MB of arguments."""


class Line:
    """Three parts, one after the other: places here, annexes, and places behind them.

    Attributes:
        annexes: Keys of annexes, the next one first. Who joins while there are any stands behind them.
        taken: Places taken over from the first annex.
    """

    def __init__(self, start: LaneStart) -> None:
        self.annexes = list(start.annexes)
        self.taken = start.taken
        self._here = OrderedDict((place.receipt, place) for place in start.line)
        self._behind: OrderedDict[str, Place] = OrderedDict()
        self._is_closing = False

    @property
    def here(self) -> tuple[Place, ...]:
        """Who is served before the annexes."""
        return tuple(self._here.values())

    @property
    def behind(self) -> tuple[Place, ...]:
        """Who is served after them."""
        return tuple(self._behind.values())

    def first(self) -> Place | None:
        """Return who is next, unless an annex has it."""
        return next(iter(self._here.values()), None)

    def find(self, receipt: str) -> Place | None:
        """Return somebody's place, unless an annex has it."""
        return self._here.get(receipt) or self._behind.get(receipt)

    def is_held(self, receipt: str) -> bool:
        """Tell whether a place is that of a dead letter."""
        place = self.find(receipt)
        return place is not None and place.is_held

    def join(self, place: Place) -> None:
        """Put somebody at the end of the line; who stands in it stays."""
        if self.find(place.receipt) is None:
            ends_here = not self.annexes and not self._is_closing
            (self._here if ends_here else self._behind)[place.receipt] = place

    def put(self, place: Place) -> None:
        """Let somebody stand for another thing in the same place, or join."""
        if place.receipt in self._here:
            self._here[place.receipt] = place
        elif place.receipt in self._behind:
            self._behind[place.receipt] = place
        else:
            self.join(place)

    def put_first(self, place: Place) -> None:
        """Give somebody the first place."""
        self.remove(place.receipt)
        self._here[place.receipt] = place
        self._here.move_to_end(place.receipt, last=False)

    def remove(self, receipt: str) -> None:
        """Let somebody go, in the line or not."""
        self._here.pop(receipt, None)
        self._behind.pop(receipt, None)

    def take(self, page: AnnexPage) -> None:
        """Take over what the first annex has, or go on to the next one."""
        for place in page.places:
            self._behind.pop(place.receipt, None)
            self._here.setdefault(place.receipt, place)
        self.taken += len(page.places)
        if page.is_closed:
            # An annex that made itself known may be in the list already, behind those that lead to it.
            others = [key for key in self.annexes[1:] if key != page.follower]
            self.annexes = [page.follower, *others] if page.follower else others
            self.taken = 0
            if not self.annexes:
                self._here.update(self._behind)
                self._behind.clear()

    def close(self, most: int) -> None:
        """Keep no more than so many places here; the others, and who joins from now on, stand behind."""
        self._is_closing = True
        if not self.annexes:
            for place in self.here[most:]:
                self._behind[place.receipt] = self._here.pop(place.receipt)


def own_place(message: Message, payload: RawValue) -> Place:
    """Return the place of a message that the lane delivers itself."""
    return Place(message.receipt, message=message, payload=payload.payload.data.decode())


def payload_of(place: Place) -> RawValue:
    """Return the payload of a message of the lane's own."""
    return json_value((place.payload or "").encode())


def load(place: Place, progress: Progress) -> Loaded:
    """Return a message of the lane's own, ready to change hands."""
    if place.message is None:
        raise ValueError(f"{place.receipt} is a turn: its chain has the message")
    return Parcel(place.message, progress), payload_of(place)


def page_of(places: Sequence[Place]) -> list[Place]:
    """Return as many of the first places as travel at once: at least one, if there is one."""
    page: list[Place] = []
    room = _MOST_BYTES_PER_PAGE
    for place in places[:_MOST_PLACES_PER_PAGE]:
        room -= size_bytes(*load(place, Progress())) if place.message else _PLACE_BYTES
        if page and room < 0:
            break
        page.append(place)
    return page
