"""The cron trigger: iii's expressions, kept by Temporal schedules (spec 05 §1)."""
