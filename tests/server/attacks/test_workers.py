"""What lies between the server and its worker: A20. The last tests here, since one of them costs a worker."""

import time
from pathlib import Path
from typing import Any

import psutil

from tests.server.attacks.serving import Attacked


def family(server: Attacked) -> list[psutil.Process]:
    process = psutil.Process(server.process.pid)
    return [process, *process.children(recursive=True)]


def test_a20_one_port_listens_and_no_other(server: Attacked, made: dict[str, Any]) -> None:
    processes = family(server)
    assert len(processes) > 1
    ports = {
        (process.pid, each.laddr.port)
        for process in processes
        for each in process.net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    }
    assert ports == {(server.process.pid, server.port)}


def test_a20_garbage_on_the_pipe_costs_one_worker_and_nothing_else(server: Attacked, made: dict[str, Any]) -> None:
    (worker,) = [each for each in family(server) if "wanvideo.worker" in each.cmdline()]
    said = worker.cmdline()[-1]
    with Path(f"/proc/{worker.pid}/fd/{said}").open("wb", buffering=0) as pipe:
        pipe.write(b"\x80\x04\x95cos\nsystem\n(S'touch canary'\ntR.")
    end = time.monotonic() + 20
    while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert server.client.get("/api/v1/queue").status_code == 200
