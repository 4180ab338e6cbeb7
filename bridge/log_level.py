"""What is not worth a line of the bridge's own log."""

import logging

__all__ = ["set_log_level"]

_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}


def set_log_level(name: str) -> None:
    """Change what is not worth a line of our own; a name that is no level changes nothing."""
    if level := _LEVELS.get(name.lower()):
        logging.getLogger("bridge").setLevel(level)
