"""Deterministic code: what Temporal replays."""
