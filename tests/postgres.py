"""A PostgreSQL of the tests: Debian's programs, in a folder of its own, ended with the tests."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TEMPLATE = "migrated"  # a database with our tables: to copy one takes a tenth of the time
MISSING = "PostgreSQL is not installed: apt-get install postgresql"
_CONF = """
unix_socket_directories = ''
shared_buffers = 64MB
max_connections = 200
"""


def programs() -> Path | None:
    """Where `initdb` and `pg_ctl` are, the newest ones."""
    found = shutil.which("initdb")
    places = [*Path("/usr/lib/postgresql").glob("*/bin/initdb"), *([Path(found).resolve()] if found else [])]
    return max(places, key=lambda path: path.parts).parent if places else None


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """A running one."""

    bin: Path
    data: Path
    port: int
    host: str = "127.0.0.1"

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://wan@{self.host}:{self.port}/{database}"

    def create(self, name: str, template: str = "template0") -> str:
        """A database like another one; its address."""
        self.sql(f'CREATE DATABASE "{name}" TEMPLATE {template}')
        return self.url(name)

    def drop(self, name: str) -> None:
        self.sql(f'DROP DATABASE "{name}" WITH (FORCE)')

    def sql(self, command: str) -> None:
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(command)

    def control(self, *arguments: str) -> None:
        _run(self.bin / "pg_ctl", "-D", self.data, "-w", *arguments)

    def restart(self) -> None:
        self.control("restart", "-m", "immediate", "-l", str(self.data / "log"))


@contextmanager
def running(where: Path, host: str = "127.0.0.1") -> Iterator[Postgres]:
    """The programs are in `where`. host: an address of this computer; whoever reaches it is let in."""
    with tempfile.TemporaryDirectory(prefix="wan-postgres-") as folder:
        if os.getuid() == 0:  # which it refuses to run as
            shutil.chown(folder, "nobody")
        server = _made(where, Path(folder) / "data", host)
        server.control("start", "-l", str(server.data / "log"))
        try:
            yield server
        finally:
            server.control("stop", "-m", "immediate")


def _made(where: Path, data: Path, host: str) -> Postgres:
    with socket.socket() as free:
        free.bind((host, 0))
        port = free.getsockname()[1]
    _run(where / "initdb", "-D", data, "-U", "wan", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
    with (data / "postgresql.conf").open("a") as file:
        file.write(f"{_CONF}port = {port}\nlisten_addresses = '{host}'\n")
    with (data / "pg_hba.conf").open("a") as file:
        file.write("host all all samenet trust\n")
    return Postgres(bin=where, data=data, port=port, host=host)


def _run(*command: str | Path) -> None:
    user = "nobody" if os.getuid() == 0 else None
    subprocess.run(command, check=True, capture_output=True, user=user, cwd="/", timeout=120)
