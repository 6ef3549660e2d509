"""Connections to the database: SQLite in the data folder, or PostgreSQL by its address.

SQLite before 3.51.3 can damage a database in WAL mode if two connections write or checkpoint at the same time. Here one
connection writes, and it alone checkpoints: readers are read-only, and are closed before it. So old versions are safe.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, cast

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, SQLAlchemyError

from wanvideo.errors import DataFolderInUse, DiskFull, StorageFailed
from wanvideo.jobs.queries import has_index_of_prompts

OLDEST_SQLITE: Final = (3, 35, 0)  # RETURNING
HEAD: Final = "head"
BASE: Final = "base"  # before the first migration
_ADDRESS: Final = "write postgresql://USER:PASSWORD@HOST/NAME"
_UNREACHED: Final = "Is PostgreSQL running there, and are host, name, user and password in WANVIDEO_DATABASE right?"
_DISK_FULL: Final = "53100"  # PostgreSQL's code
_SERVER: Final = 0x57414E  # PostgreSQL's advisory lock of a server
_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_CHECKED_AT_ONCE: Final = 256 * 2**20  # bytes of a file; a fifth of a second
_BUSY_SECONDS: Final = 10.0
_PATIENCE: Final = 1.0  # seconds; another one that starts has the database to itself for an instant
# How long a network may be cut, here and as PostgreSQL sees it: else either side would wait for the other for hours,
# and what a machine has locked that is gone would stay locked. What stands in the address counts before this.
_CONNECTION: Final[Mapping[str, str]] = {
    "connect_timeout": "10",
    "keepalives_idle": "5",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
    "options": "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 "
    "-c tcp_user_timeout=20000 -c idle_in_transaction_session_timeout=60000",
}


class Database:
    """One writer and some readers. Raises StorageFailed if it cannot be opened or is damaged."""

    def __init__(self, url: str) -> None:
        self.is_sqlite = url.startswith("sqlite")
        self._broken: str | None = None
        if self.is_sqlite and sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise StorageFailed(
                f"SQLite {sqlite3.sqlite_version} is too old: {'.'.join(map(str, OLDEST_SQLITE))} is needed"
            )
        if self.is_sqlite:
            self._writer = _sqlite(url, readers=False)
            self._reader = _sqlite(url, readers=True)
        else:
            self._writer = _postgres(url)
            # Reads are one statement, or several that need not agree: to begin and end transactions would take longer.
            self._reader = self._writer.execution_options(isolation_level="AUTOCOMMIT")

    def migrate(self, revision: str = HEAD) -> None:
        """Bring the tables to what this version works with, or to another `revision`."""
        with self.read() as connection:
            is_current = revision == HEAD and _revision(connection) == _newest()
        if not is_current:
            self._migrate(revision)
        if self.is_sqlite and revision == HEAD:
            self._index_prompts()

    def _migrate(self, revision: str) -> None:
        from alembic import command  # half a second, which a start that has nothing to migrate does not need
        from alembic.config import Config

        with self._explained(), self._writer.connect() as connection:
            config = Config()
            config.set_main_option("script_location", str(_MIGRATIONS))
            config.attributes["connection"] = connection
            if not self.is_sqlite:  # two servers that start at the same time do it one after the other
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SERVER - 1})")
            _require_known(_revision(connection))
            if revision == HEAD or (revision != BASE and revision > (_revision(connection) or "")):
                command.upgrade(config, revision)
            else:
                command.downgrade(config, revision)
            if connection.in_transaction():
                connection.commit()

    def _index_prompts(self) -> None:
        """Make the index of prompts, or make it anew where rows may have other numbers than it knows.

        That may be after a VACUUM, which raises SQLite's number of the schema, or in a file made of a dump, which does
        not have the number that was kept. Ten seconds for a million jobs.
        """
        with self.read() as connection:
            schema, known = (
                connection.exec_driver_sql(f"PRAGMA {name}_version").scalar() for name in ("schema", "user")
            )
        if schema == known:
            return
        with self.write() as connection:
            if has_index_of_prompts(connection):
                # As one part, so that no submit has to merge what is there.
                for command in ("rebuild", "optimize"):
                    connection.exec_driver_sql(f"INSERT INTO jobs_of_prompt (jobs_of_prompt) VALUES ('{command}')")
            connection.exec_driver_sql(f"PRAGMA user_version = {schema}")

    def require_current(self) -> None:
        """Raise StorageFailed unless the tables are those of this version."""
        with self.read() as connection:
            found = _revision(connection)
        _require_known(found)
        if found is None:
            raise StorageFailed("there is no queue in this database yet: start the server once, with --storage")
        if found != (newest := _newest()):
            raise StorageFailed(
                f"the database has the form {found}, and this version works with {newest}: start the server once, and "
                "it is brought up to date"
            )

    @property
    def is_large(self) -> bool:
        """Whether to check it takes so long that a start does not wait for it."""
        if not self.is_sqlite:
            return False
        query = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        with self.read() as connection:
            return int(connection.exec_driver_sql(query).scalar_one()) > _CHECKED_AT_ONCE

    def check(self) -> None:
        """Raise StorageFailed if SQLite finds its file damaged, or if PostgreSQL may lose what was acknowledged.

        Nothing more is taken by a database that is damaged. While others read and write, it takes a second per GB, and
        more where the file has to come from the disk.
        """
        with self.read() as connection:
            if self.is_sqlite:
                found = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
                if found != "ok":
                    self._broken = f"it is damaged, {found:.200}"
                    raise StorageFailed(f"the database is damaged ({found:.200}): restore a backup of the data folder")
                return
            for name in ("synchronous_commit", "fsync"):
                if connection.exec_driver_sql(f"SHOW {name}").scalar() == "off":
                    raise StorageFailed(f"{name} of PostgreSQL is off, so a power cut loses jobs: turn it on")

    def clock_ahead(self, now: Callable[[], float] = time.time) -> float:
        """Seconds by which the clock of this machine is ahead of the database's; SQLite has the same one."""
        if self.is_sqlite:
            return 0.0
        with self.read() as connection:
            asked = now()
            theirs = float(connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar_one())
            return (asked + now()) / 2 - theirs

    @contextmanager
    def alone(self, *, with_others: bool = False) -> Iterator[None]:
        """Keep other servers away from a database of PostgreSQL while the block runs. Raises DataFolderInUse.

        with_others: those who say that, too, may come. SQLite's file lies in the data folder, which has a lock of its
        own.
        """
        with self._lock(_SERVER, shared=with_others, patience=_PATIENCE) as got:
            if not got:
                raise DataFolderInUse(
                    "the database is in use by another server: stop that one, choose another database, or let both "
                    "have their files in one place with --storage"
                )
            yield

    @contextmanager
    def turn(self, number: int) -> Iterator[bool]:
        """Whether it is this process that does something now of which one is enough; the others leave it alone."""
        with self._lock(_SERVER + number) as got:
            yield got

    @contextmanager
    def listening(self, channel: str) -> Iterator[Callable[[float], Sequence[str]]]:
        """PostgreSQL's LISTEN: gives what waits so many seconds for notices, and says what they were.

        Raises StorageFailed, now or then.
        """
        import psycopg

        with self._explained(), self._reader.connect() as connection:
            driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
            connection.detach()  # from the pool
            connection.exec_driver_sql(f"LISTEN {channel}")

            def heard(seconds: float) -> Sequence[str]:
                try:
                    return [each.payload for each in driver.notifies(timeout=seconds, stop_after=1)]
                except psycopg.Error as error:
                    raise StorageFailed(f"the database is not heard: {error!s:.300}") from error

            yield heard

    def notify(self, channel: str, notices: Sequence[str]) -> None:
        """PostgreSQL's NOTIFY, of texts below 8000 bytes. Nothing of it is stored. Raises StorageFailed."""
        query = text("SELECT pg_notify(:channel, notice) FROM unnest(CAST(:notices AS text[])) AS notice")
        with self.read() as connection:
            connection.execute(query, {"channel": channel, "notices": list(notices)})

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, which is on disk when the block has ended. Raises StorageFailed, DiskFull."""
        with self._explained(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._explained(), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def _lock(self, number: int, *, shared: bool = False, patience: float = 0.0) -> Iterator[bool]:
        """Whether the advisory lock was to be had in so many seconds; it ends with the block, or with the connection.

        SQLite has none.
        """
        if self.is_sqlite:
            yield True
            return
        kind = "_shared" if shared else ""
        until = time.monotonic() + patience
        with self._explained(), self._reader.connect() as connection:
            connection.detach()  # from the pool: nobody else gets the connection, and with it the lock
            take = f"SELECT pg_try_advisory_lock{kind}({number})"
            while not (got := bool(connection.exec_driver_sql(take).scalar())) and time.monotonic() < until:
                time.sleep(0.05)
            try:
                yield got
            finally:
                if got:
                    with suppress(DBAPIError):  # the connection has ended, and with it the lock
                        connection.exec_driver_sql(f"SELECT pg_advisory_unlock{kind}({number})")

    @property
    def broken(self) -> str | None:
        """Why nothing is written any more; None: all is well."""
        return self._broken

    def close(self) -> None:
        self._reader.dispose()
        self._writer.dispose()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Errors of the database as ours. After one that says that writes got lost, nothing more is taken."""
        if self._broken is not None:
            raise StorageFailed(f"the database failed before ({self._broken}): start the server again")
        try:
            yield
        except DBAPIError as error:
            said = str(error.orig)
            if "disk is full" in said or getattr(error.orig, "sqlstate", None) == _DISK_FULL:
                raise DiskFull("the disk of the database is full, and nothing was changed: make room") from error
            if self.is_sqlite and isinstance(error, DatabaseError) and _is_fatal(error.orig):
                self._broken = said
            if _is_conflict(error):
                raise
            if error.statement is None and not self.is_sqlite:
                raise StorageFailed(
                    f"the database cannot be reached: {said.partition(chr(10))[0]:.300}. {_UNREACHED}"
                ) from error
            raise StorageFailed(f"the database failed: {said:.300}") from error
        except SQLAlchemyError as error:
            raise StorageFailed(f"the database failed: {error!s:.300}") from error


def _postgres(url: str) -> Engine:
    """Raises StorageFailed where there is no driver, or for what is no address."""
    try:
        address = make_url(url)
        if address.drivername not in ("postgresql", "postgres"):
            raise StorageFailed(f"{address.drivername}:// is no database for this: {_ADDRESS}")
        address = address.set(drivername="postgresql+psycopg")
        # Before a connection is used it is tried: the server may have been started again meanwhile.
        limits = {name: value for name, value in _CONNECTION.items() if name not in address.query}
        return create_engine(
            address, pool_pre_ping=True, pool_size=10, max_overflow=20, pool_timeout=60, connect_args=limits
        )
    except ArgumentError:
        raise StorageFailed(f"the address of the database is not one: {_ADDRESS}") from None
    except ModuleNotFoundError as error:
        raise StorageFailed("PostgreSQL needs psycopg: pip install 'wanvideo[postgres]'") from error


def _is_fatal(error: object) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _is_conflict(error: DBAPIError) -> bool:
    return type(error).__name__ == "IntegrityError"


def _revision(connection: Connection) -> str | None:
    """Of the tables; None: there are none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _newest() -> str:
    """Revision that this version works with."""
    return max(_revisions())


def _revisions() -> set[str]:
    """All that this version knows: migrations are numbered, and their files are called so."""
    return {path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*_*.py")}


def _require_known(revision: str | None) -> None:
    if revision is not None and revision not in _revisions():
        raise StorageFailed(
            f"the database has the form {revision}, which this version does not know: install the newer one"
        )


def _sqlite(url: str, *, readers: bool) -> Engine:
    # Of the writer there is one, and who wants to write waits for it.
    size, overflow = (4, 4) if readers else (1, 0)
    engine = create_engine(
        url, pool_size=size, max_overflow=overflow, pool_timeout=60,
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False, "isolation_level": None},
    )  # fmt: skip

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        if readers:
            cursor.execute("PRAGMA query_only=ON")
        else:
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute("PRAGMA journal_size_limit=67108864")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if readers else "BEGIN IMMEDIATE")

    return engine
