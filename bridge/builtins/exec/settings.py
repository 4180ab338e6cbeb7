"""What `iii-exec` starts and watches (spec 05 §7)."""

from dataclasses import dataclass

__all__ = ["ExecSettings"]


@dataclass(frozen=True, slots=True)
class ExecSettings:
    """Settings of one `iii-exec` block.

    Attributes:
        commands: Shell commands: all but the last run to their end, in order; the last keeps running.
        watch: Globs; a change to a matching file starts the commands again.
        stop_timeout_s: How long processes may take to end after SIGTERM.
        first_pause_s: How long to wait before a last command that ended is started again; doubles each time.
        longest_pause_s: The most it grows to.
        steady_s: After how long a run the next pause is the first one again.
    """

    commands: tuple[str, ...]
    watch: tuple[str, ...] = ()
    stop_timeout_s: float = 3.0
    first_pause_s: float = 1.0
    longest_pause_s: float = 30.0
    steady_s: float = 10.0
