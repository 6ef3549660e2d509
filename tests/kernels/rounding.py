"""What two ways of rounding to 8 bits may differ by."""

from torch import Tensor

from wanvideo.kernels.eight_bit import INT8


def assert_rounded_alike(got: Tensor, right: Tensor) -> None:
    different = got.float() != right.float()
    # The interpreter's own rounding to float8 is off by one step now and then.
    exact = got.is_cuda or got.dtype == INT8
    assert different.float().mean() < (0.003 if exact else 0.05)
    assert (got.float() - right.float()).norm() / right.float().norm() < (0.003 if exact else 0.1)
