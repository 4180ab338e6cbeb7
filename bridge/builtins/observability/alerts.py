"""Alert rules: evaluated every ten seconds, acting when one begins to fire (spec 05 §6.5)."""

import asyncio
import operator
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import structlog

from bridge.builtins.observability.offer import offer
from bridge.builtins.observability.settings import AlertRule
from bridge.engine.calls import Call
from bridge.engine.engine import Engine
from bridge.errors import BridgeError
from bridge.protocol import payload

__all__ = ["Alerts", "Post"]

log = structlog.get_logger("bridge.alerts")

_INTERVAL_S = 10.0
_RETRY_AFTER_S = (1.0, 2.0, 4.0)
_MILLISECOND_NS = 1_000_000

Post = Callable[[str, msgspec.Raw], Awaitable[None]]
"""Sends a body to a URL; raises `BridgeError` when it is refused or does not succeed."""

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
_WORDS = {
    "greaterthan": ">",
    "greaterthanorequal": ">=",
    "lessthan": "<",
    "lessthanorequal": "<=",
    "equal": "==",
    "notequal": "!=",
}


class _State(msgspec.Struct):
    """How a rule stands, as lists show it; times in milliseconds."""

    name: str
    threshold: float
    operator: str
    firing: bool = False
    last_evaluated: int | None = None
    last_triggered: int | None = None
    current_value: float | None = None


class Alerts:
    """Watches metrics. A rule acts once when it begins to fire, and again only after it has stopped.

    Args:
        rules: What is watched.
        read_metric: Gives the value of a metric; `None` when nobody has reported it.
        engine: Runs the functions of rules.
        post: Calls the webhooks of rules.
        now_ns: Unix time.
        sleep: Waits.
    """

    def __init__(
        self,
        rules: Sequence[AlertRule],
        read_metric: Callable[[str], float | None],
        engine: Engine,
        *,
        post: Post,
        now_ns: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rules = rules
        self._read_metric = read_metric
        self._engine = engine
        self._post = post
        self._now_ns = now_ns
        self._sleep = sleep
        self._states = [_State(rule.name, rule.threshold, rule.operator) for rule in rules]

    def apply(self, rules: Sequence[AlertRule]) -> None:
        """Watch other rules from now on; one that keeps its name keeps how it stands (spec 05 §9)."""
        known = {state.name: state for state in self._states}
        self._rules = rules
        self._states = [
            msgspec.structs.replace(known[rule.name], threshold=rule.threshold, operator=rule.operator)
            if rule.name in known
            else _State(rule.name, rule.threshold, rule.operator)
            for rule in rules
        ]

    def register(self, engine: Engine) -> None:
        """Offer `engine::alerts::*`."""
        offer(engine, "engine::alerts::list", self._list, "Tells how the alert rules stand")
        offer(engine, "engine::alerts::evaluate", self._evaluate_now, "Evaluates the alert rules now")

    async def run(self) -> None:
        """Evaluate the rules again and again.

        Cancellation: safe.
        """
        while True:
            self.evaluate()
            await self._sleep(_INTERVAL_S)

    def evaluate(self) -> list[dict[str, Any]]:
        """Compare every rule with its metric; returns those that fire now."""
        now_ms = self._now_ns() // _MILLISECOND_NS
        firing: list[dict[str, Any]] = []
        for rule, state in zip(self._rules, self._states, strict=True):
            value = self._read_metric(rule.metric)
            compare = _COMPARISONS[_WORDS.get(rule.operator, rule.operator)]
            was_firing = state.firing
            state.firing = value is not None and compare(value, rule.threshold)
            state.current_value, state.last_evaluated = value, now_ms
            if state.firing:
                firing.append(
                    {
                        "name": rule.name,
                        "metric": rule.metric,
                        "value": value,
                        "threshold": rule.threshold,
                        "operator": rule.operator,
                        "firing": True,
                        "timestamp": now_ms,
                    }
                )
                if not was_firing:
                    state.last_triggered = now_ms
                    self._engine.spawn(self._act(rule, firing[-1]), f"alert {rule.name}")
        return firing

    async def _act(self, rule: AlertRule, fired: dict[str, Any]) -> None:
        told = {"alert": rule.name} | {
            key: fired[key] for key in ("metric", "value", "threshold", "operator", "timestamp")
        }
        match rule.action.kind:
            case "log":
                log.warning("alert fires", **told)
            case "webhook":
                await self._call_webhook(rule, payload.encode(told))
            case "function":
                await self._call_function(rule, payload.encode(told))

    async def _call_webhook(self, rule: AlertRule, body: msgspec.Raw) -> None:
        for pause_s in (*_RETRY_AFTER_S, None):
            try:
                await self._post(rule.action.target, body)
            except BridgeError as exc:
                if pause_s is None:
                    log.error("webhook of an alert given up", alert=rule.name, reason=str(exc))  # noqa: TRY400
                    return
                log.warning("webhook of an alert failed", alert=rule.name, reason=str(exc))
                await self._sleep(pause_s)
            else:
                return

    async def _call_function(self, rule: AlertRule, data: msgspec.Raw) -> None:
        function = self._engine.functions.find(rule.action.target)
        reason: str | None
        if function is not None and function.worker is None:
            reason = "it is a function of the bridge itself; name one of a worker"
        else:
            error = (await self._engine.invoke(Call(rule.action.target, data))).error
            reason = error.message if error else None
        if reason is not None:
            log.error(
                "function of an alert failed", alert=rule.name, function_id=rule.action.target, reason=reason
            )

    async def _list(self, _: Call) -> msgspec.Raw:
        answer: dict[str, Any] = {
            "alerts": self._states,
            "firing_count": sum(each.firing for each in self._states),
            "timestamp": self._now_ns() // _MILLISECOND_NS,
        }
        if self._rules:
            answer["rules"] = [_rule(each) for each in self._rules]
        else:
            answer["message"] = _NO_RULES
        return payload.encode(answer)

    async def _evaluate_now(self, _: Call) -> msgspec.Raw:
        now_ms = self._now_ns() // _MILLISECOND_NS
        if not self._rules:
            return payload.encode({"evaluated": False, "message": _NO_RULES, "timestamp": now_ms})
        return payload.encode({"evaluated": True, "triggered_alerts": self.evaluate(), "timestamp": now_ms})


_NO_RULES = "There are no alert rules; set `alerts` in iii-observability"


def _rule(rule: AlertRule) -> dict[str, Any]:
    action: dict[str, str] = {"type": rule.action.kind}
    match rule.action.kind:
        case "webhook":
            action["url"] = rule.action.target
        case "function":
            action["path"] = rule.action.target
        case "log":
            pass
    return {
        "name": rule.name,
        "metric": rule.metric,
        "threshold": rule.threshold,
        "operator": rule.operator,
        "action": action,
    }
