"""One checkpoint file of any format that we read. No torch.

What the file begins with decides, not its name: people rename files, and a pickle that calls itself safetensors is
still a pickle.
"""

from pathlib import Path

from wanvideo.errors import ModelCorrupt
from wanvideo.weights.gguf import MAGIC, read_gguf
from wanvideo.weights.headers import WeightFile, is_pickle, read_header, read_start


def read_checkpoint(path: Path) -> WeightFile:
    """The tensors of a safetensors or GGUF file, unread.

    Raises ModelIncomplete if the file is missing; ModelCorrupt if it is truncated, damaged or a pickle; ModelMismatch
    if it holds a type of number that is not read.
    """
    head = read_start(path, 16)
    if head.startswith(MAGIC):
        return read_gguf(path)
    if is_pickle(head):
        raise ModelCorrupt(
            f"{path} is a pickle checkpoint, which can run any code when it is opened: {safe_alternative(path.name)}",
            facts={"file": str(path)},
        )
    return read_header(path)


def safe_alternative(name: str) -> str:
    """What to get instead of a pickle file of that name."""
    lower = name.casefold()
    if "vae" in lower:
        kind = "wan2.2_vae" if "2.2" in lower or "2_2" in lower else "wan_2.1_vae"
        return f"get {kind}.safetensors of Comfy-Org/Wan_2.2_ComfyUI_Repackaged"
    if "t5" in lower:
        return "get umt5_xxl_fp16.safetensors of Comfy-Org/Wan_2.2_ComfyUI_Repackaged"
    return "get the model in safetensors format"
