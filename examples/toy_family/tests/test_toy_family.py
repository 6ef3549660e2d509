from toy_family import FAMILY
from wanvideo.testing import conformance

test_conformance = conformance(FAMILY)
