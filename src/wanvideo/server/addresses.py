"""What each address takes, as the OpenAPI document has it."""

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from starlette.routing import compile_path


class Addresses:
    """Methods by path, read from the document when they are first asked for.

    The router itself names only what the first of an address's functions takes.
    """

    def __init__(self, document: Callable[[], Mapping[str, Any]]) -> None:
        self._document = document

    def methods(self, path: str) -> frozenset[str]:
        """In capitals; none for what is no address of the API."""
        return next((methods for pattern, methods in self._known if pattern.match(path)), frozenset())

    @cached_property
    def _known(self) -> list[tuple[re.Pattern[str], frozenset[str]]]:
        """The nearest first: /queue/clear, and then /queue/{task_id}."""
        paths = sorted(self._document()["paths"].items(), key=lambda item: str(item[0]).count("{"))
        return [(compile_path(path)[0], frozenset(method.upper() for method in taken)) for path, taken in paths]
