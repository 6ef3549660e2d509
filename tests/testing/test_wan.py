"""Our own family does what it asks of others."""

from wanvideo.families.wan import WAN
from wanvideo.testing import conformance

test_conformance = conformance(WAN)
