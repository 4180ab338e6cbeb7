"""From the raw keys of a block to its frozen model, or to problems a reader can act on."""

from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from bridge.config.block import Block
from bridge.config.document import Document, spell
from bridge.config.entries import Entry
from bridge.config.problems import Problem, show, suggest
from bridge.config.schema import Place, locate

__all__ = ["validate"]

BlockT = TypeVar("BlockT", bound=Block)

_SECRET_KEYS = {
    *("api_key", "grpc_meta", "key_data", "keys", "tokens"),
    *("access_key_id", "secret_access_key", "session_token"),
}
# What pydantic adds about a default that it did not compute because another key is wrong.
_CONSEQUENCE = "default_factory_not_called"
_SENTENCES = {
    "greater_than": "is out of range",
    "greater_than_equal": "is out of range",
    "less_than": "is out of range",
    "less_than_equal": "is out of range",
    "path_not_file": "does not name a file",
    "string_pattern_mismatch": "does not have the right form",
    "string_too_short": "is empty",
}


@dataclass(frozen=True, slots=True)
class _Explanation:
    what: str
    found: str | None = None
    allowed: str | None = None
    remedy: str | None = None
    key: str | None = None  # a key below the place pydantic names


def validate(model: type[BlockT], entry: Entry, document: Document) -> tuple[BlockT | None, list[Problem]]:
    """Read a block.

    Args:
        model: What the block has to be.
        entry: Its keys.
        document: The file it came from.

    Returns:
        The block and no problems, or no block and all its problems.
    """
    try:
        return model.model_validate(entry.config), []
    except ValidationError as exc:
        errors = [error for error in exc.errors() if error["type"] != _CONSEQUENCE]
    return None, [_problem(model, entry, document, error) for error in errors]


def _problem(model: type[Block], entry: Entry, document: Document, error: ErrorDetails) -> Problem:
    place = locate(model, error["loc"])
    told = _explain(model, place, error)
    inner = place.path if told.key is None else (*place.path, told.key)
    what = f"{model.subject(place.path) or entry.written}: {told.what}"
    if origin := entry.origins.get(inner):
        return Problem(
            what=what,
            source=origin,
            key_path=spell((entry.block, *inner)),
            found=told.found,
            allowed=told.allowed,
            remedy=told.remedy,
        )
    return document.problem(
        (*entry.config_path, *inner), what, found=told.found, allowed=told.allowed, remedy=told.remedy
    )


def _explain(model: type[Block], place: Place, error: ErrorDetails) -> _Explanation:
    key = str(place.path[-1]) if place.path else "config"
    found = show(error["input"]) if _SECRET_KEYS.isdisjoint(place.path) else "(hidden)"
    context: dict[str, Any] = error.get("ctx", {})
    kind = error["type"]
    match kind:
        case "extra_forbidden":
            known = locate(model, error["loc"][:-1]).keys
            told = _Explanation(
                f"unknown key `{key}`", key, ", ".join(known) or "no keys", suggest(key, known)
            )
        case "missing":
            told = _Explanation(f"`{key}` is missing", "nothing", str(place))
        case "literal_error":
            told = _Explanation(f"invalid {key} {found}. Must be {context['expected']}", found, str(place))
        case "union_tag_not_found" | "union_tag_invalid" | "unknown_adapter_class":
            told = _explain_choice(place, error["input"], context)
        case "conflict":
            absent = error["input"] is None
            told = _Explanation(error["msg"], "nothing" if absent else found, remedy=context["remedy"])
        case _ if kind in _SENTENCES:
            told = _Explanation(f"`{key}` {_SENTENCES[kind]}", found, str(place))
        case _ if kind.endswith("_type"):
            told = _Explanation(f"`{key}` has the wrong type", found, str(place))
        case _:
            told = _Explanation(error["msg"], found, context.get("allowed", str(place)))
    return told


def _explain_choice(place: Place, given: Any, context: dict[str, Any]) -> _Explanation:
    """Explain why no alternative was chosen: of an adapter, or of the action of an alert."""
    choice = place.path[-1]
    if "written" in context:
        key, chosen, known = "class", str(context["written"]), context["known"]
    else:
        key, chosen, known = context["discriminator"].strip("'"), context.get("tag", ""), place.tags
    if not chosen:
        return _Explanation(f"`{choice}` has no `{key}`", show(given), ", ".join(known), key=key)
    return _Explanation(
        what=f"{choice} `{chosen}` is not available",
        found=chosen,
        allowed=", ".join(known),
        remedy=suggest(chosen, known),
        key=key,
    )
