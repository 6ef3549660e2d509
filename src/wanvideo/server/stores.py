"""The queue of a server for those who only look: its database is opened as it is, while the server runs or not."""

from collections.abc import Iterator
from contextlib import contextmanager

from wanvideo.errors import StorageFailed
from wanvideo.jobs.database import Database
from wanvideo.jobs.folder import DataFolder
from wanvideo.jobs.queue import Queue
from wanvideo.server.settings import Settings


def folder_of(settings: Settings) -> DataFolder:
    return DataFolder(settings.data_dir, settings.outputs_dir)


def database_of(settings: Settings) -> Database:
    """Not opened yet. Raises StorageFailed where it cannot be."""
    if settings.database is not None:
        return Database(settings.database.get_secret_value())
    return Database(f"sqlite:///{folder_of(settings).database}")


@contextmanager
def open_queue(settings: Settings) -> Iterator[Queue]:
    """To read from. Raises StorageFailed if there is none, or one of another version."""
    folder = folder_of(settings)
    if settings.database is None and not folder.database.is_file():
        raise StorageFailed(f"there is no server's data in {folder.root}: name its folder with --data-dir")
    database = database_of(settings)
    try:
        database.require_current()
        yield Queue(database, folder)
    finally:
        database.close()
