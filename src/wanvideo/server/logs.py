"""What the server says about itself: one JSON object a line, with the job that it is about; secrets never."""

import logging
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Final

import structlog
import structlog.tracebacks

_SECRETS: Final = ("token", "authorization", "cookie", "secret", "password", "api_key", "key")
_ABOUT: Final = ("job", "model", "attempt", "code", "reason")  # that a message may be about
_HIDDEN: Final = "***"
# Without local variables, which may hold secrets.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def set_up(*, json: bool, level: int = logging.INFO) -> None:
    """Send all log messages, those of other libraries too, to stderr in one form."""
    shared: Sequence[structlog.typing.Processor] = (
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        without_secrets,
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    last: Sequence[structlog.typing.Processor] = (
        (_TRACEBACKS, structlog.processors.JSONRenderer())
        if json
        else (
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        )
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(_ABOUT), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("alembic", "uvicorn", "uvicorn.access", "uvicorn.error", "httpx2", "httpcore2", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def without_secrets(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Whatever is called like a secret is not shown, however deep it lies."""
    return {name: _HIDDEN if _is_secret(name) else _clean(value) for name, value in event.items()}


def _is_secret(name: str) -> bool:
    lower = name.lower()
    return any(lower == word or lower.endswith((f"_{word}", f"-{word}")) for word in _SECRETS)


def _clean(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _HIDDEN if _is_secret(str(name)) else _clean(each) for name, each in value.items()}
    return [_clean(each) for each in value] if isinstance(value, list) else value
