"""The `iii-stream` worker: items by stream and group, and their live delivery (spec 03 §3)."""

from bridge.builtins.stream.worker import Stream, StreamSettings

__all__ = ["Stream", "StreamSettings"]
