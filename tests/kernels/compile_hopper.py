"""Compile our attention for a GPU of compute capability 9.0, on any machine. Says what the two kernels came to."""

import json
import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.experimental.gluon import language as gl
from triton.experimental.gluon._runtime import GluonASTSource

from wanvideo.kernels.attention_hopper import HEAD, KEYS, ROWS, _attend

NUMBERS = ("length", "keys", "q_pitch", "k_pitch", "heads")


def source(*, eight: bool, stages: int) -> GluonASTSource:
    name, dtype = ("fp8e4nv", gl.float8e4nv) if eight else ("bf16", gl.bfloat16)
    shapes = {"q_desc": [ROWS, HEAD], "k_desc": [KEYS, HEAD], "v_desc": [HEAD, KEYS] if eight else [KEYS, HEAD]}
    signature = {
        key: f"tensordesc<{name}{shape},{gl.NVMMASharedLayout.get_default_for(shape, dtype)!r}>"
        for key, shape in shapes.items()
    }
    signature |= dict.fromkeys(("q_scale_ptr", "k_scale_ptr", "v_scale_ptr"), "*fp32") | {"out_ptr": "*bf16"}
    signature |= dict.fromkeys(NUMBERS, "i32")
    constants = {"ROWS": ROWS, "KEYS": KEYS, "HEAD": HEAD, "STAGES": stages, "EIGHT": eight}
    signature |= dict.fromkeys(constants, "constexpr")
    places = {name: (_attend.arg_names.index(name),) for name in _attend.arg_names}
    return GluonASTSource(
        _attend,
        {name: signature[name] for name in _attend.arg_names},
        {places[name]: value for name, value in constants.items()},
    )


def main() -> None:
    for eight, stages in ((False, 2), (True, 3)):
        kernel = triton.compile(
            source(eight=eight, stages=stages), target=GPUTarget("cuda", 90, 32), options={"num_warps": 4}
        )
        ptx = kernel.asm["ptx"]
        found = {"shared": kernel.metadata.shared, "products": ptx.count("wgmma.mma_async")}
        sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
