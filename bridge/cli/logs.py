"""Structured logs on standard error: for people in colour, for machines as JSON lines."""

import logging
import sys
from collections.abc import Sequence
from typing import Literal

import structlog

__all__ = ["LogFormat", "configure_logs"]

LogFormat = Literal["json", "pretty"]


def configure_logs(log_format: LogFormat, *, level: int = logging.INFO, silent: Sequence[str] = ()) -> None:
    """Send every log line, our own and the libraries', through one renderer.

    Args:
        log_format: `json` writes one object a line, `pretty` aligned text.
        level: What is not worth a line of our own; of the libraries, warnings and worse are.
        silent: Loggers that say nothing, because the command shows the same in its own way.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor
    if log_format == "json":
        shared.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer()
    else:
        # Plain tracebacks: a pretty one prints local variables, among them headers and payloads.
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("bridge").setLevel(level)
    for name in silent:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("websockets").setLevel(logging.ERROR)
    # The SDK logs every failed attempt with a traceback; we log what a reader needs of it ourselves.
    logging.getLogger("temporalio.activity").setLevel(logging.ERROR)
