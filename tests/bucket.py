"""An S3 server of the tests: moto's, as a process of its own."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

NAME = "videos"
KEYS = {"AWS_ACCESS_KEY_ID": "of-the-tests", "AWS_SECRET_ACCESS_KEY": "of-the-tests", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def running(host: str = "127.0.0.1") -> Iterator[str]:
    """It has an empty bucket; gives its address. host: an address of this computer."""
    with socket.socket() as free:
        free.bind((host, 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", host, "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _until_it_answers(process, host, port)
        address = f"http://{host}:{port}"
        _make_bucket(address)
        yield address
    finally:
        process.kill()
        process.wait()


def _until_it_answers(process: "subprocess.Popen[bytes]", host: str, port: int) -> None:
    for _ in range(600):
        assert process.poll() is None, "the S3 server of the tests did not start"
        try:
            socket.create_connection((host, port), 0.2).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the S3 server of the tests does not answer")


def _make_bucket(address: str) -> None:
    import httpx2

    assert httpx2.put(f"{address}/{NAME}").status_code == 200
