"""How a server and its worker talk: frames of JSON over two pipes, a length of four bytes before each.

To the worker:
    begin {settings}                          first, and once: see `worker.settings`
    run {job, attempt, spec, created, folder, resume}  make a video; one at a time
    cancel {job, attempt}                     give it up at the next step
    unload {}                                 give back the memory of models
    probe {}                                  use the device, and say so
    stop {}                                   end

From the worker:
    ready {pid, device, name, total_bytes}    it has used its device
    broken {failure}                          instead: it could not, and ends
    heartbeat {job, loaded, rss, vram_used, vram_reserved, vram_peak}   every second, from the start of the process;
                                              what can be measured, vram_* on a GPU
    probed {ok, seconds or failure}
    event {job, attempt, event: {type, ...}}  types: resolved, plan, phase, step, checkpoint, preview, adapted, warning,
                                              fallback, resumed
    done {job, attempt, result}
    failed {job, attempt, failure}            as `wanvideo.failure.Failure.to_json` has it
    cancelled {job, attempt}

No pickle: whatever comes over a pipe is JSON, and pixels are files or short base64.
"""

import json
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO, Final

LARGEST: Final = 16 * 2**20  # bytes of a frame
_HEAD: Final = struct.Struct(">I")


class BrokenPipe(Exception):
    """The other side is gone, or says what is no frame."""


def write_message(pipe: BinaryIO, message: Mapping[str, Any]) -> None:
    """Raises BrokenPipe; ValueError for a message that is too long, or no JSON."""
    data = json.dumps(message, separators=(",", ":"), allow_nan=False).encode()
    if len(data) > LARGEST:
        raise ValueError(f"a message of {len(data)} bytes is longer than {LARGEST}")
    try:
        pipe.write(_HEAD.pack(len(data)) + data)
        pipe.flush()
    except (OSError, ValueError) as error:
        raise BrokenPipe(str(error)) from error


def read_message(pipe: BinaryIO) -> dict[str, Any]:
    """Blocks until there is one. Raises BrokenPipe."""
    (length,) = _HEAD.unpack(_exactly(pipe, _HEAD.size))
    if length > LARGEST:
        raise BrokenPipe(f"a frame of {length} bytes is announced, and {LARGEST} are allowed")
    try:
        message = json.loads(_exactly(pipe, length))
    except (ValueError, RecursionError) as error:
        raise BrokenPipe("a frame is no JSON") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise BrokenPipe("a frame is no message")
    return message


def _exactly(pipe: BinaryIO, count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        try:
            part = pipe.read(count)
        except (OSError, ValueError) as error:
            raise BrokenPipe(str(error)) from error
        if not part:
            raise BrokenPipe("the pipe was closed")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
