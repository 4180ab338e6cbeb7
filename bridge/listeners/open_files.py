"""The limit of open files: every connection is one, and many systems begin with 1024."""

import resource

import structlog

__all__ = ["raise_open_file_limit"]

log = structlog.get_logger("bridge.websocket")

WANTED = 65_536
ENOUGH = 4096


def raise_open_file_limit() -> int:
    """Raise the process's limit of open files as far as the system lets it, and return it.

    A limit that is low even then is logged with its remedy.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as exc:
            log.debug("limit of open files not raised", reason=str(exc))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < ENOUGH:
        log.warning(
            "few connections are possible; raise the hard limit of open files (ulimit -Hn, LimitNOFILE)",
            open_files=soft,
        )
    return soft
