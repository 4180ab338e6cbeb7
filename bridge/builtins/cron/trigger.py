"""What a cron trigger asks for, and the schedule that answers to it (spec 05 §1.1, design §8)."""

import hashlib
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec
from temporalio.client import ScheduleOverlapPolicy, SchedulePolicy, ScheduleSpec

from bridge.builtins.cron.calendar import schedule_spec
from bridge.builtins.cron.expression import CronExpression, CronSyntaxError, parse
from bridge.engine.triggers import Binding
from bridge.errors import TriggerRejectedError
from bridge.protocol.payload import is_object, is_present
from workflows.contract import CronFire

__all__ = ["CONFIGURATION_SCHEMA", "CronTrigger", "Plan", "read_trigger"]

_SHORTEST_CATCHUP_WINDOW_MS = 10_000  # Temporal takes less for this much
_DEFAULT_CATCHUP_WINDOW_MS = 60_000
_YEAR_MS = 365 * 24 * 3600 * 1000
_LONGEST_FUNCTION_ID = 120
"""What Temporal makes of a schedule id has more before and after it, and 255 characters at most."""
_DIGEST_LENGTH = 16

_OVERLAP_POLICIES = {
    "skip": ScheduleOverlapPolicy.SKIP,
    "buffer_one": ScheduleOverlapPolicy.BUFFER_ONE,
    "buffer_all": ScheduleOverlapPolicy.BUFFER_ALL,
    "allow_all": ScheduleOverlapPolicy.ALLOW_ALL,
}
"""Temporal's policies, without those that stop the fire that runs: no iii handler can be stopped."""

CONFIGURATION_SCHEMA = {
    "type": "object",
    "properties": {
        "expression": {"type": "string", "minLength": 1},
        "condition_function_id": {"type": "string"},
        "timezone": {"type": "string", "default": "UTC"},
        "overlap": {"enum": list(_OVERLAP_POLICIES), "default": "skip"},
        "catchup_window_ms": {
            "type": "integer",
            "minimum": _SHORTEST_CATCHUP_WINDOW_MS,
            "maximum": _YEAR_MS,
            "default": _DEFAULT_CATCHUP_WINDOW_MS,
        },
        "jitter_ms": {"type": "integer", "minimum": 0, "maximum": _YEAR_MS, "default": 0},
    },
    "required": ["expression"],
}


class _Config(msgspec.Struct, frozen=True):
    """A binding's configuration; keys nobody knows are ignored, as in iii."""

    expression: Any = None
    condition_function_id: str | None = None
    timezone: str | None = None
    overlap: Literal["skip", "buffer_one", "buffer_all", "allow_all"] = "skip"
    catchup_window_ms: Annotated[int, msgspec.Meta(ge=_SHORTEST_CATCHUP_WINDOW_MS, le=_YEAR_MS)] = (
        _DEFAULT_CATCHUP_WINDOW_MS
    )
    jitter_ms: Annotated[int, msgspec.Meta(ge=0, le=_YEAR_MS)] = 0


_config_decoder = msgspec.json.Decoder(_Config)


@dataclass(frozen=True, slots=True)
class Plan:
    """A schedule as it should be in Temporal."""

    fire: CronFire
    spec: ScheduleSpec
    policy: SchedulePolicy


@dataclass(frozen=True, slots=True)
class CronTrigger:
    """A binding whose configuration has been read.

    Attributes:
        key: Names the schedule among those of the bridge. Replicas of a worker bind triggers with ids of
            their own; what they ask for is the same, so they share a key, a schedule and every fire.
    """

    binding: Binding
    key: str
    expression: CronExpression
    config: _Config

    def plan(self, *, heartbeat_timeout_ms: int) -> Plan:
        """Return the schedule to keep."""
        config = self.config
        return Plan(
            fire=CronFire(
                key=self.key,
                function_id=self.binding.function_id,
                expression=config.expression,
                timezone=config.timezone or "UTC",
                namespace=self.binding.namespace,
                condition_function_id=config.condition_function_id,
                catchup_window_ms=config.catchup_window_ms,
                heartbeat_timeout_ms=heartbeat_timeout_ms,
            ),
            spec=schedule_spec(
                self.expression,
                timezone=config.timezone,
                jitter=timedelta(milliseconds=config.jitter_ms) if config.jitter_ms else None,
            ),
            policy=SchedulePolicy(
                overlap=_OVERLAP_POLICIES[config.overlap],
                catchup_window=timedelta(milliseconds=config.catchup_window_ms),
            ),
        )


def read_trigger(binding: Binding, timezones: AbstractSet[str]) -> CronTrigger:
    """Read a binding's configuration.

    Args:
        binding: The trigger.
        timezones: The names `timezone` may take.

    Raises:
        TriggerRejectedError: It cannot be used; the texts that iii has too are iii's (spec 05 §1.7).
    """
    config = _read_config(binding)
    if not isinstance(config.expression, str) or not config.expression:
        raise TriggerRejectedError("Cron expression is required")
    try:
        expression = parse(config.expression)
    except CronSyntaxError as exc:
        raise TriggerRejectedError(str(exc)) from exc
    if config.timezone is not None and config.timezone not in timezones:
        raise TriggerRejectedError(
            f"The timezone '{config.timezone}' of cron trigger {binding.id} is unknown; "
            "write an IANA name such as Europe/Berlin, or leave it out for UTC."
        )
    return CronTrigger(binding, _key(binding, config), expression, config)


def _read_config(binding: Binding) -> _Config:
    if not is_object(binding.config):
        return _Config()
    try:
        return _config_decoder.decode(binding.config)
    except msgspec.MsgspecError as exc:
        raise TriggerRejectedError(
            f"The configuration of cron trigger {binding.id} cannot be used: {exc}. "
            "Beside expression it takes the strings condition_function_id, timezone and overlap, "
            "and the whole numbers catchup_window_ms and jitter_ms."
        ) from exc


def _key(binding: Binding, config: _Config) -> str:
    """Name the schedule after what makes two triggers the same; how it is kept may change in place."""
    identity = [
        binding.function_id,
        binding.namespace,
        config.expression,
        config.timezone,
        config.condition_function_id,
        msgspec.json.decode(binding.metadata) if is_present(binding.metadata) else None,
    ]
    text = msgspec.json.encode(identity, order="deterministic")
    digest = hashlib.sha256(text).hexdigest()[:_DIGEST_LENGTH]
    return f"{binding.function_id[:_LONGEST_FUNCTION_ID]}/{digest}"
