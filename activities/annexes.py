"""What lanes need of the world when their line overflows."""

from dataclasses import dataclass
from typing import Protocol

from temporalio import activity

from workflows.contract import Activity, AnnexPage, AnnexStart, Place

__all__ = ["AnnexKeeper", "Annexes"]


class AnnexKeeper(Protocol):
    """Leaves places in annexes and reads them. A second time changes nothing."""

    async def leave_in_annex(self, annex: AnnexStart, places: list[Place]) -> None:
        """Give an annex what its lane cannot carry."""

    async def read_annex(self, annex: AnnexStart, taken: int) -> AnnexPage:
        """Read an annex from a place on, or close it if nobody stands there."""

    async def announce_annex(self, annex: AnnexStart) -> None:
        """Have a lane read an annex that nobody knows of."""


@dataclass(frozen=True)
class Annexes:
    """Activities of lanes and annexes."""

    keeper: AnnexKeeper

    @activity.defn(name=Activity.LEAVE_IN_ANNEX)
    async def leave_in_annex(self, annex: AnnexStart, places: list[Place]) -> None:
        """Give an annex what its lane cannot carry."""
        await self.keeper.leave_in_annex(annex, places)

    @activity.defn(name=Activity.READ_ANNEX)
    async def read_annex(self, annex: AnnexStart, taken: int) -> AnnexPage:
        """Read an annex from a place on, or close it if nobody stands there."""
        return await self.keeper.read_annex(annex, taken)

    @activity.defn(name=Activity.ANNOUNCE_ANNEX)
    async def announce_annex(self, annex: AnnexStart) -> None:
        """Have a lane read an annex that nobody knows of."""
        await self.keeper.announce_annex(annex)
