"""The steps that a chain has lost, and the dead letters that keep their messages."""

from collections.abc import Mapping, Sequence

from temporalio.common import RawValue

from workflows.calls import signal
from workflows.contract import Message, Signal

__all__ = ["Losses"]

_SHOWN_STEPS = 10
_SHOWN_ERROR_LENGTH = 200


class Losses:
    """What was lost, and has not been redriven since.

    Args:
        texts: Why, by receipt, from the run before.
        letters: The workflow ids of the dead letters, from the run before.
    """

    def __init__(self, texts: Mapping[str, str], letters: Sequence[str]) -> None:
        self.texts = dict(texts)
        self.letters = list(letters)

    def __len__(self) -> int:
        return len(self.texts)

    def __contains__(self, receipt: str) -> bool:
        return receipt in self.texts

    def note(self, message: Message, error: str, *, verdict: str = "lost") -> None:
        """Note that a step is lost."""
        self.texts[message.receipt] = f"{message.function_id} {verdict}: {error[:_SHOWN_ERROR_LENGTH]}"

    def forgive(self, receipt: str) -> None:
        """Note that a step has come back."""
        self.texts.pop(receipt, None)

    def summary(self) -> str:
        """Tell what was lost, in one line."""
        texts = list(self.texts.values())
        more = len(texts) - _SHOWN_STEPS
        return "; ".join(texts[:_SHOWN_STEPS]) + (f"; and {more} more" if more > 0 else "")

    async def begin_again(self, receipt: str) -> None:
        """Tell the dead letters that are still open that the chain begins again, because of one of them."""
        for letter in self.letters:
            await signal(letter, Signal.SUPERSEDED, receipt)

    async def begin_with(self, first: Message, payload: RawValue) -> None:
        """Have the dead letters redrive the chain's first message instead of their own, one for all."""
        for letter in self.letters:
            others = [other for other in self.letters if other != letter]
            await signal(letter, Signal.RESTART_INSTEAD, first, payload, others)
