"""Downloads in a process of their own: requests in, events out, one JSON object a line. No torch.

    python -m wanvideo.weights.download.process

    {"do": "download", "id": "a", "cache": "/...", "at_hand": ["/..."],
     "choices": [{"title": "fp8 from ...", "endpoint": "https://...", "token": null, "offline": false,
                  "files": [{"repo_id": "...", "paths": ["..."]}]}]}
    {"do": "pause", "id": "a"}        also "resume" and "cancel"

`at_hand` may name files outside the cache, which are used instead of fetched ones if they are the same.

Every event has the `id` of its download and an `event`: those of `events.as_json`, and at last exactly one of
"downloaded", "cancelled" and "error". The end of the input cancels everything, so that nothing outlives who asked;
what has arrived is kept.
"""

import json
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TextIO

from wanvideo.errors import Cancelled, InvalidRequest, WanVideoError
from wanvideo.weights.download.control import Control
from wanvideo.weights.download.events import as_json
from wanvideo.weights.download.hub import DEFAULT_ENDPOINT, Hub
from wanvideo.weights.download.plan import plan_download
from wanvideo.weights.download.run import Choice, download_first
from wanvideo.weights.download.transfer import Options
from wanvideo.weights.variants import RemoteFiles

_LINE_BYTES: Final = 1 << 20


class Downloader:
    """All downloads of one process."""

    def __init__(self, out: TextIO, options: Options | None = None) -> None:
        self._out = out
        self._options = options
        self._writing = threading.Lock()
        self._running = dict[str, tuple[Control, threading.Thread]]()

    def serve(self, requests: Iterable[str]) -> None:
        """Do what the lines say, until they end; then stop everything."""
        for line in requests:
            name = ""
            try:
                request = _object(line)
                name = _text(request, "id")
                self._handle(name, request)
            except WanVideoError as error:
                self._tell_error(name, error)
        for control, thread in self._running.values():
            control.cancel()
            thread.join()

    def _handle(self, name: str, request: Mapping[str, Any]) -> None:
        action = _text(request, "do")
        control, thread = self._running.get(name, (None, None))
        if action == "download":
            if thread is not None and thread.is_alive():
                raise InvalidRequest(f"there is a download {name!r:.60} already: choose another id, or cancel it")
            self._start(name, _choices(request))
        elif action not in ("pause", "resume", "cancel"):
            raise InvalidRequest(f"cannot do {action!r:.60}: ask for download, pause, resume or cancel")
        elif control is None:
            raise InvalidRequest(f"there is no download {name!r:.60}")
        else:
            {"pause": control.pause, "resume": control.resume, "cancel": control.cancel}[action]()

    def _start(self, name: str, choices: list[Choice]) -> None:
        control = Control()
        thread = threading.Thread(target=self._run, args=(name, choices, control), name=f"download-{name}")
        self._running[name] = (control, thread)
        thread.start()

    def _run(self, name: str, choices: list[Choice], control: Control) -> None:
        try:
            for event in download_first(choices, control=control, options=self._options):
                kind, fields = as_json(event)
                self._tell(name, kind, fields)
        except Cancelled as error:
            self._tell(name, "cancelled", {"message": error.message})
        except WanVideoError as error:
            self._tell_error(name, error)

    def _tell_error(self, name: str, error: WanVideoError) -> None:
        fields = {
            "code": error.code,
            "category": error.category,
            "message": error.message,
            "suggestions": error.suggestions,
            "facts": error.facts,
        }
        self._tell(name, "error", {"error": fields})

    def _tell(self, name: str, event: str, fields: Mapping[str, object]) -> None:
        line = json.dumps({"id": name, "event": event, **fields}, allow_nan=False)
        with self._writing:
            self._out.write(line + "\n")
            self._out.flush()


def _choices(request: Mapping[str, Any]) -> list[Choice]:
    cache = Path(_text(request, "cache"))
    at_hand = [Path(each) for each in request.get("at_hand") or () if isinstance(each, str)]
    return [_choice(each, cache, at_hand) for each in _list(request, "choices")]


def _choice(value: object, cache: Path, at_hand: Sequence[Path]) -> Choice:
    fields = _fields(value, "a choice")
    hub = Hub(
        endpoint=fields.get("endpoint") or DEFAULT_ENDPOINT,
        token=fields.get("token"),
        offline=fields.get("offline") is True,
    )
    files = [_remote(each) for each in _list(fields, "files")]
    return Choice(title=_text(fields, "title"), plan=partial(plan_download, files, hub, cache, at_hand=at_hand))


def _remote(value: object) -> RemoteFiles:
    fields = _fields(value, "an entry of files")
    paths = _list(fields, "paths")
    if not all(isinstance(path, str) for path in paths):
        raise InvalidRequest("paths must be texts")
    return RemoteFiles(repo_id=_text(fields, "repo_id"), paths=tuple(paths))


def _object(line: str) -> Mapping[str, Any]:
    if len(line) > _LINE_BYTES:
        raise InvalidRequest(f"a request has more than {_LINE_BYTES} bytes")
    try:
        return _fields(json.loads(line), "a request")
    except (ValueError, RecursionError):
        raise InvalidRequest("a request is no JSON") from None


def _fields(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{what} must be a JSON object")
    return value


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"{name} must be a text")
    return value


def _list(fields: Mapping[str, Any], name: str) -> list[Any]:
    value = fields.get(name)
    if not isinstance(value, list) or not value:
        raise InvalidRequest(f"{name} must be a list that is not empty")
    return value


if __name__ == "__main__":
    Downloader(sys.stdout).serve(sys.stdin)
