"""The cron trigger: iii's expressions, kept by Temporal schedules (spec 05 §1)."""

from bridge.builtins.cron.keeper import CronSettings
from bridge.builtins.cron.worker import CronTriggers

__all__ = ["CronSettings", "CronTriggers"]
