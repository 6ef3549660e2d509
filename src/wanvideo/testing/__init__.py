"""Does a model family do what wanvideo asks of it? A suite for the authors of families; see docs/adding-a-family.md.

    from toy_family import FAMILY
    from wanvideo.testing import conformance

    test_conformance = conformance(FAMILY)

Without pytest, `for check in checks(FAMILY): check()` raises NotConforming, which says what is missing.
"""

from wanvideo.testing.check import Check, NotConforming
from wanvideo.testing.suite import checks, conformance

__all__ = ["Check", "NotConforming", "checks", "conformance"]
