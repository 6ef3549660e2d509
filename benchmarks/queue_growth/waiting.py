"""How long processes have waited for a core that others had: what is left is theirs, however busy the machine is."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wanvideo.jobs.database import Database


@dataclass(frozen=True, slots=True)
class Waiting:
    """Of these processes, by Linux's own count."""

    files: Sequence[Path]

    @classmethod
    def of(cls, database: Database) -> "Waiting":
        """This one, and those of PostgreSQL that serve it, if they are on this machine."""
        pids = [os.getpid()]
        if not database.is_sqlite:
            with database.read() as connection:
                query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state IS NOT NULL"
                pids += connection.exec_driver_sql(query).scalars()
        return cls([path for pid in pids if (path := Path(f"/proc/{pid}/schedstat")).is_file()])

    def seconds(self) -> float:
        """In the queues of all cores, together, since they began."""
        return sum(int(path.read_bytes().split()[1]) for path in self.files) / 1e9
