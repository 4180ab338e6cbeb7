"""The part of `iii-temporal` that says what other people's workflows and functions may do with each other."""

from typing import Annotated

from pydantic import Field

from bridge.config.block import Block, Name

__all__ = ["FunctionActivitiesBlock"]

_MOST_AT_ONCE = 100_000


class FunctionActivitiesBlock(Block):
    """Which functions workflows of the namespace may call as activities.

    Attributes:
        functions: Patterns of function ids, in which `*` stands for any characters; none forbids all.
        namespace: The namespace of iii in which the functions are looked up.
        concurrency: How many such calls run on this bridge at the same time.
    """

    functions: Annotated[tuple[Name, ...], Field(strict=False)] = ("*",)
    namespace: Name = "default"
    concurrency: Annotated[int, Field(ge=1, le=_MOST_AT_ONCE)] = 100
