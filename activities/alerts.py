"""The call of an alert function."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.deliveries import DeliveryFailedError
from workflows.contract import Activity, AlarmStart

__all__ = ["AlertActivities", "Alerter"]

Alerter = Callable[[AlarmStart], Awaitable[None]]
"""Calls an alert function; raises `DeliveryFailedError` when it failed."""

_NOT_CALLED = ("function_not_found", "invocation_stopped")


@dataclass(frozen=True)
class AlertActivities:
    """The activity of alarms."""

    alert: Alerter

    @activity.defn(name=Activity.ALERT)
    async def call_alert_function(self, alarm: AlarmStart) -> None:
        """Call the alert function.

        Raises:
            ApplicationError: It failed, which counts as called; or nobody offers it, which is tried again.
        """
        try:
            await self.alert(alarm)
        except DeliveryFailedError as exc:
            is_called = exc.code not in _NOT_CALLED
            raise ApplicationError(
                exc.message,
                type=exc.code,
                non_retryable=is_called,
                category=ApplicationErrorCategory.BENIGN,  # the bridge has logged it
            ) from None
