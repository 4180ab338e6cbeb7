"""The part of `iii-temporal` that says what other people's workflows and functions may do with each other."""

from typing import Annotated

from pydantic import Field, StringConstraints

from bridge.config.block import Block, Name, PositiveMilliseconds

__all__ = ["ExposedWorkflowBlock", "FunctionActivitiesBlock", "InteropBlock", "WorkflowRuleBlock"]

_MOST_AT_ONCE = 100_000

_Beginning = Annotated[
    str,
    StringConstraints(pattern=r"^([^*]+\*?|\*)$"),
    Field(description="a name, or the beginning of names with `*` at its end"),
]


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


class WorkflowRuleBlock(Block):
    """Workflows that functions may use. A `*` at the end of a text stands for any characters.

    Attributes:
        workflow: Their type.
        task_queue: Where they run.
        namespace: Temporal's namespace; `None` is the one of the bridge.
    """

    workflow: _Beginning
    task_queue: _Beginning
    namespace: Name | None = None


class InteropBlock(Block):
    """What functions may do with other people's workflows.

    Attributes:
        workflows: Those that they may use; none forbids all.
    """

    workflows: Annotated[tuple[WorkflowRuleBlock, ...], Field(strict=False)] = ()


class ExposedWorkflowBlock(Block):
    """A workflow that is called as a function.

    Attributes:
        workflow: Its type.
        task_queue: Where its workers are.
        namespace: Temporal's namespace; `None` is the one of the bridge.
        execution_timeout_ms: How long it may take in all; `None` is for ever.
    """

    workflow: Name
    task_queue: Name
    namespace: Name | None = None
    execution_timeout_ms: PositiveMilliseconds | None = None
