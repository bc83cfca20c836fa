"""The log of the process: events with fields, as JSON or for a person, ours and the libraries' alike.

Nothing that could be prompt text is ever a field; should one slip in under its known name, it is
taken out here, and no value is longer than `MOST_CHARS`. Control characters are escaped in either form.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import IO, Any, Final

import msgspec
import structlog

from detector.config import Log

MOST_CHARS: Final = 1_000
_NEVER: Final = frozenset({"prompt_text", "system_text", "raw", "hash_key", "sasl_password", "password"})
_NOISY: Final = ("aiokafka", "faust", "mode", "asyncio")  # their INFO is for their developers


def configure(settings: Log, stream: IO[str] | None = None) -> None:
    """Set up structlog and the standard library's logging; to be called once, by a process that runs long."""
    stream = sys.stderr if stream is None else stream
    console = settings.format == "console" or (settings.format == "auto" and stream.isatty())
    level = getattr(logging, settings.level.upper())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _harmless,
    ]
    render: list[Any] = (
        # The traceback that it would choose shows the values of variables, and prompts are among them.
        [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_json)]
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _called_library],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def _harmless(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in _NEVER & event.keys():
        del event[name]
    for name, value in event.items():
        if isinstance(value, str) and len(value) > MOST_CHARS:
            event[name] = value[:MOST_CHARS] + "…"
    return event


def _called_library(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Give a library's sentence a field of its own, so that `event` is a name in every line."""
    event["message"] = event["event"]
    event["event"] = "library"
    return event


def _json(event: Any, **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()
