"""Landlock: a process gives up files, TCP and the signals of others, for good and without privileges (Linux 5.13).

Source: Documentation/userspace-api/landlock.rst and <linux/landlock.h>. What is newer than the kernel is left out.
"""

import ctypes
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

# The same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION: Final = 1  # flag of create_ruleset: say only what the kernel knows
_PATH_BENEATH: Final = 1
_NO_NEW_PRIVILEGES: Final = 38  # of prctl

_WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14
# All accesses to files that each version of the interface knows.
_FILES: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP: Final = 0b11  # bind and connect, from version 4
_OTHERS: Final = 0b11  # abstract sockets and signals of other processes, from version 6


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """Of the kernel's interface; 0: it has none, or it is switched off."""
    if sys.platform != "linux":
        return 0
    return max(0, int(ctypes.CDLL(None).syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))))


def restrict(*, read: Iterable[Path], write: Iterable[Path] = ()) -> bool:
    """From now on this thread, and those that it starts, open nothing but these files and what lies in these folders.

    read: files and folders; write: files that exist. What is not there is passed over. False: the kernel cannot do
    this, and nothing has changed. Raises OSError.
    """
    known = version()
    if not known:
        return False
    files = _FILES[max(least for least in _FILES if least <= known)]
    ruleset = _Ruleset(files=files, net=_TCP if known >= 4 else 0, scoped=_OTHERS if known >= 6 else 0)
    size = 24 if known >= 6 else 16 if known >= 4 else 8  # bytes of the structure that the kernel knows
    rules = _call(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for path in read:
            _allow(rules, path, (_READ_FILE | _READ_DIR) if path.is_dir() else _READ_FILE)
        for path in write:
            _allow(rules, path, (_WRITE_FILE | _READ_FILE | _TRUNCATE) & files)
        if ctypes.CDLL(None, use_errno=True).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "privileges cannot be given up")
        _call(_RESTRICT_SELF, rules, ctypes.c_uint32(0))
    finally:
        os.close(rules)
    return True


def _allow(rules: int, path: Path, accesses: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rule = _Beneath(allowed=accesses, parent=parent)
        _call(_ADD_RULE, rules, ctypes.c_int(_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0))
    finally:
        os.close(parent)


def _call(number: int, *arguments: object) -> int:
    done = int(ctypes.CDLL(None, use_errno=True).syscall(number, *arguments))
    if done < 0:
        raise OSError(ctypes.get_errno(), f"Landlock: {os.strerror(ctypes.get_errno())}")
    return done
