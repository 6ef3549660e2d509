"""The family whose models fail as they are told, where workers and servers of tests find it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FAMILY = Path(__file__).parent / "worker" / "faulty" / "faulty_family.py"


@contextmanager
def faulty_family(site: Path) -> Iterator[None]:
    """As if pip had installed it in `site`, for this process and for those that it starts."""
    shutil.copy(FAMILY, site)
    about = site / "faulty_family-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty_family\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[wanvideo.families]\nfaulty = faulty_family:FAMILY\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(site)))))
        patch.syspath_prepend(site)
        yield
