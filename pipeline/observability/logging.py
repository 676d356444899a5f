"""Logs on stderr: one JSON object a line for machines, or plain text for people. Credentials never get out."""

import logging
import sys
from datetime import UTC, datetime

import msgspec
from pydantic import SecretStr

from pipeline.config import LogSettings
from pipeline.observability.context import add_ids
from pipeline.observability.redaction import MASK, names_a_secret, redact

QUIETED = (
    "aiohttp.access",
    "aiokafka",
    "asyncio",
    "cachecontrol",
    "faust",
    "firebase_admin",
    "google",
    "httpcore",
    "httpx",
    "mode",
    "urllib3",
    "yoyo",
)
"""Libraries that tell their own life at INFO; only their warnings are of interest here."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}

Scalar = str | int | float | bool | None


def setup_logging(settings: LogSettings, service: str) -> None:
    """Send every log record of this process to stderr in the chosen format, marked with the service's name."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(add_ids)
    handler.setFormatter(JsonFormatter(service) if settings.format == "json" else TextFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level)
    quiet_level = max(logging.WARNING, root.level)
    for name in QUIETED:
        logging.getLogger(name).setLevel(quiet_level)


class JsonFormatter(logging.Formatter):
    """``ts`` (RFC 3339, UTC), ``level``, ``logger``, ``service``, ``message``, the `extra` values, ``exception``."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service
        self._encoder = msgspec.json.Encoder()

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Scalar] = {
            "ts": _instant(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "service": self._service,
            "message": redact(record.getMessage()),
            **_extra(record),
        }
        if trace := _exception(record, self):
            fields["exception"] = trace
        return self._encoder.encode(fields).decode()


class TextFormatter(logging.Formatter):
    """``12:30:00.123 INFO router pipeline.routing: message key=value``, exceptions below."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        time = _instant(record).strftime("%H:%M:%S.%f")[:-3]
        extra = "".join(f" {key}={value}" for key, value in _extra(record).items())
        line = f"{time} {record.levelname} {self._service} {record.name}: {redact(record.getMessage())}{extra}"
        trace = _exception(record, self)
        return f"{line}\n{trace}" if trace else line


def _instant(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _extra(record: logging.LogRecord) -> dict[str, Scalar]:
    return {key: _shown(key, value) for key, value in vars(record).items() if key not in _STANDARD}


def _shown(key: str, value: object) -> Scalar:
    if isinstance(value, SecretStr) or names_a_secret(key):
        return MASK
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value))


def _exception(record: logging.LogRecord, formatter: logging.Formatter) -> str:
    return redact(formatter.formatException(record.exc_info)) if record.exc_info else ""
