"""Which workflows functions may use: those that the configuration names, and never our own."""

from dataclasses import dataclass

from bridge.errors import FunctionFailedError
from bridge.temporal.query_text import quoted

__all__ = ["WorkflowRule", "WorkflowRules", "matches", "term"]


@dataclass(frozen=True, slots=True)
class WorkflowRule:
    """Workflows that functions may use. A `*` at the end of an attribute stands for any characters.

    Attributes:
        workflow: Their type.
        task_queue: Where they run.
        namespace: Temporal's namespace; `None` is the one of the bridge.
    """

    workflow: str
    task_queue: str
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class WorkflowRules:
    """What functions may use.

    Attributes:
        rules: What is allowed; nothing else is.
        prefix: What our own names begin with.
        home: The namespace of the bridge.
    """

    rules: tuple[WorkflowRule, ...]
    prefix: str
    home: str

    def check(self, workflow: str, task_queue: str, namespace: str) -> None:
        """Make sure that a workflow may be used.

        Raises:
            FunctionFailedError: It may not.
        """
        self._check_queue(task_queue)
        if not any(
            matches(rule.workflow, workflow) and matches(rule.task_queue, task_queue)
            for rule in self._rules_of(namespace)
        ):
            raise FunctionFailedError(
                "FORBIDDEN",
                f"Functions may not use the workflow {workflow} on the task queue {task_queue} of the "
                f"namespace {namespace}; `iii-temporal.interop.workflows` says which they may",
            )

    def check_id(self, name: str) -> None:
        """Make sure that a workflow or a schedule of this id is none of ours.

        Raises:
            FunctionFailedError: It is.
        """
        if name.startswith(f"{self.prefix}."):
            raise FunctionFailedError(
                "FORBIDDEN",
                f"{name} belongs to the bridge, as everything does that begins with `{self.prefix}.`; "
                "use `chain::*` for chains and `iii::queue::*` for dead letters",
            )

    def of(self, namespace: str) -> list[WorkflowRule]:
        """Return what is allowed in a namespace.

        Raises:
            FunctionFailedError: Nothing is.
        """
        allowed = self._rules_of(namespace)
        if not allowed:
            raise FunctionFailedError(
                "FORBIDDEN",
                f"Functions may use no workflow of the namespace {namespace}; "
                "`iii-temporal.interop.workflows` says which they may",
            )
        return allowed

    def query(self, namespace: str) -> str:
        """Return what finds all that may be used, for visibility.

        Raises:
            FunctionFailedError: There is nothing.
        """
        allowed = [
            f"({term('WorkflowType', rule.workflow)} AND {term('TaskQueue', rule.task_queue)})"
            for rule in self.of(namespace)
        ]
        return f"({' OR '.join(allowed)}) AND TaskQueue != {quoted(self.prefix)}"

    def _rules_of(self, namespace: str) -> list[WorkflowRule]:
        return [rule for rule in self.rules if (rule.namespace or self.home) == namespace]

    def _check_queue(self, task_queue: str) -> None:
        if task_queue == self.prefix or task_queue.startswith(f"{self.prefix}."):
            raise FunctionFailedError("FORBIDDEN", f"The task queue {task_queue} belongs to the bridge")


def matches(pattern: str, text: str) -> bool:
    """Tell whether a pattern, perhaps with `*` at its end, describes a text."""
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def term(attribute: str, pattern: str) -> str:
    """Return what finds the texts that a pattern describes, for visibility."""
    if pattern.endswith("*"):
        return f"{attribute} STARTS_WITH {quoted(pattern[:-1])}"
    return f"{attribute} = {quoted(pattern)}"
