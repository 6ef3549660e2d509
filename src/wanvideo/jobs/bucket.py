"""An S3-compatible store, by fsspec.

Credentials and endpoint are those of boto: AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from wanvideo.errors import StorageFailed
from wanvideo.jobs.storage import BLOCK, Stored, checked


class Bucket:
    """See `wanvideo.jobs.storage.Storage`. An object is there when all of it is, which is S3's own promise."""

    def __init__(self, address: str) -> None:
        """address: `s3://BUCKET` or `s3://BUCKET/PREFIX`. Raises StorageFailed if it cannot be reached."""
        try:
            import s3fs
        except ModuleNotFoundError as error:
            raise StorageFailed("s3:// needs s3fs: pip install 'wanvideo[s3]'") from error
        self.address = address
        self.root = address.removeprefix("s3://").strip("/")
        if not self.root:
            raise StorageFailed(f"{address} names no bucket: write s3://BUCKET/PREFIX")
        # What others have written meanwhile must be seen, so nothing of what was listed is remembered.
        self._files: Any = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
        with self._explained("its list"):
            self._files.call_s3("list_objects_v2", Bucket=self.root.partition("/")[0], MaxKeys=1)

    def put(self, name: str, source: Path) -> None:
        with self._explained(name):
            self._files.put_file(str(source), self._key(name))

    def read(self, name: str, first: int = 0, count: int | None = None) -> Iterator[bytes]:
        found = self.stat(name)
        if found is None:
            raise FileNotFoundError(name)
        end = found.bytes if count is None else min(found.bytes, first + count)
        for start in range(first, end, BLOCK):
            with self._explained(name):
                block: bytes = self._files.cat_file(self._key(name), start=start, end=min(end, start + BLOCK))
            yield block

    def stat(self, name: str) -> Stored | None:
        try:
            with self._explained(name):
                return self._stored(self._files.info(self._key(name)))
        except FileNotFoundError:
            return None

    def list(self, prefix: str) -> Iterator[Stored]:
        with self._explained(prefix):
            found = self._files.find(self._key(prefix.removesuffix("/")), detail=True)
        yield from map(self._stored, found.values())

    def delete(self, name: str) -> None:
        with self._explained(name):  # of what is not there, S3 says that it is gone
            self._files.rm_file(self._key(name))

    def clear(self, prefix: str) -> None:
        for found in list(self.list(prefix)):
            self.delete(found.name)

    def remove_drafts(self, seconds: float) -> int:
        """Uploads in parts that were never completed; S3 says when they began, and nothing of their last byte."""
        bucket, _, prefix = self.root.partition("/")
        before = datetime.now(UTC) - timedelta(seconds=seconds)
        with self._explained("uploads that were broken off"):
            found = self._files.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=f"{prefix}/" if prefix else "")
            old = [each for each in found.get("Uploads", ()) if each["Initiated"] < before]
            for each in old:
                upload = {"Bucket": bucket, "Key": each["Key"], "UploadId": each["UploadId"]}
                self._files.call_s3("abort_multipart_upload", **upload)
        return len(old)

    def _key(self, name: str) -> str:
        return f"{self.root}/{checked(name)}"

    def _stored(self, info: Any) -> Stored:
        changed: datetime = info["LastModified"]
        name = str(info["name"]).removeprefix(f"{self.root}/")
        return Stored(name=name, bytes=int(info["size"]), changed=changed.timestamp())

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """What boto and s3fs say, as StorageFailed; that there is no such object stays."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except FileNotFoundError as error:
            if "bucket" in str(error).lower():
                raise StorageFailed(f"{self.address} is not there: make the bucket first") from error
            raise
        except (OSError, BotoCoreError, ClientError) as error:
            raise StorageFailed(f"{self.address} cannot be reached ({what}): {error!s:.200}") from error
