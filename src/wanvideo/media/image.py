"""Images into the 8-bit RGB that the models see, and single frames out.

PNG, JPEG and WebP are read. Every other decoder stays shut: each one is code that runs on a stranger's bytes, and a
picture in any other format is one export away. Sizes are checked before anything is decoded.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps

from wanvideo.errors import ImageTooLarge, InvalidImage
from wanvideo.media.kinds import JPEG, PNG, WEBP, file_kind
from wanvideo.request import ImageSource

READABLE: Final = (PNG, JPEG, WEBP)
REMEDY: Final = "give a PNG, JPEG or WebP file"

MAX_BYTES: Final = 128 * 2**20
MAX_PIXELS: Final = 2**26  # 8192 x 8192: more than most phones make, and 0.6 GiB while decoding
MIN_SIDE: Final = 16  # pixels
MAX_ASPECT: Final = 10  # long side over short side

# All that Pillow's decoders were seen to raise on damaged files.
DECODER_ERRORS: Final = (
    OSError,
    ValueError,
    SyntaxError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)

_ORIENTATION: Final = 0x0112  # EXIF tag
_MODES: Final = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"})
_MODES_16_BIT: Final = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})


def load_image(source: ImageSource) -> Image.Image:
    """The picture at a path, or a PIL image, as upright 8-bit RGB in sRGB.

    EXIF orientation is applied, transparency is laid over white, 16 bits are scaled to 8, and CMYK and colour profiles
    are converted. A PIL image gives its current frame; a file must hold only one. Raises `InvalidImage`.
    """
    if isinstance(source, Image.Image):
        check_size("the image given", source.size)
        with decoding("the image given", "a PIL image"):
            return _normalised(source, "the image given")
    if isinstance(source, str) and not source:
        raise InvalidImage(f"the path of the image is empty: {REMEDY}")
    try:
        path = Path(source)
    except TypeError as reason:
        kind = type(source).__name__
        raise InvalidImage(f"an image is a path or a PIL image, not {kind}: see PIL.Image.fromarray") from reason
    kind = _readable_kind(path)
    with decoding(str(path), kind), open_image(path) as image:
        check_size(str(path), image.size)
        if kind != JPEG and getattr(image, "n_frames", 1) > 1:  # a JPEG's further frames are thumbnails and depth maps
            raise InvalidImage(
                f"{path} is animated ({getattr(image, 'n_frames', 1)} frames): save the frame you want as a PNG file",
                facts={"path": str(path)},
            )
        return _normalised(image, str(path))


def cover(image: Image.Image, width: int, height: int) -> Image.Image:
    """`image` resized by Lanczos to just cover `width` x `height`, aspect kept, and cropped to it about the centre."""
    scale = max(width / image.width, height / image.height)
    wide, high = round(image.width * scale), round(image.height * scale)
    left, top = (wide - width) // 2, (high - height) // 2
    return image.resize((wide, high), Image.Resampling.LANCZOS).crop((left, top, left + width, top + height))


def to_array(image: Image.Image) -> npt.NDArray[np.uint8]:
    """The pixels of an RGB image, uint8 [H, W, 3]."""
    return np.array(image.convert("RGB"), dtype=np.uint8)


def open_image(path: Path) -> Image.Image:
    """The file's header, by one of the decoders that we trust; pixels are decoded later."""
    return Image.open(path, formats=("PNG", "JPEG", "WEBP"))


@contextmanager
def decoding(name: str, kind: str) -> Iterator[None]:
    """Turn what a decoder raises or warns of into `InvalidImage`; its own words are for the log, not for the user."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as reason:
        raise _too_large(name, "more pixels") from reason
    except DECODER_ERRORS as reason:
        raise InvalidImage(
            f"{name} is {kind}, but damaged or cut off: open it in an image editor and save it again",
            facts={"path": name},
        ) from reason


def check_size(name: str, size: tuple[int, int]) -> None:
    """Refuse images that are too large to decode safely, or too small or too narrow to make a video from."""
    width, height = size
    if width * height > MAX_PIXELS:
        raise _too_large(name, f"{width} x {height} = {width * height / 1e6:.1f} million pixels, more")
    if min(size) < MIN_SIDE:
        raise InvalidImage(
            f"{name} is only {width} x {height} pixels: give one of at least {MIN_SIDE} pixels a side",
            facts={"path": name, "width": width, "height": height},
        )
    if max(size) > MAX_ASPECT * min(size):
        raise InvalidImage(
            f"{name} is {width} x {height} pixels, narrower than {MAX_ASPECT}:1: crop it nearer to the video's shape",
            facts={"path": name, "width": width, "height": height},
        )


def _too_large(name: str, pixels: str) -> ImageTooLarge:
    limit = f"the limit of {MAX_PIXELS / 1e6:.1f} million"
    return ImageTooLarge(f"{name} has {pixels} than {limit}: scale it down first", facts={"path": name})


def _readable_kind(path: Path) -> str:
    kind = file_kind(path, InvalidImage)
    if kind not in READABLE:
        raise InvalidImage(f"{path} is {kind}: {REMEDY}", facts={"path": str(path)})
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ImageTooLarge(
            f"{path} has {size / 2**20:.0f} MiB, more than the limit of {MAX_BYTES // 2**20} MiB: scale it down first",
            facts={"path": str(path), "bytes": size},
        )
    return kind


def _normalised(image: Image.Image, name: str) -> Image.Image:
    image.load()
    image = _eight_bit(_upright(image))
    if image.mode not in _MODES:
        raise InvalidImage(f"{name} has the pixel mode {image.mode}, which has no fixed range: convert it to 8-bit RGB")
    if image.has_transparency_data and image.mode != "RGBA":
        image = image.convert("RGBA")
    image = _srgb(image)
    if image.mode != "RGBA":
        return image.convert("RGB")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _upright(image: Image.Image) -> Image.Image:
    try:
        if image.getexif().get(_ORIENTATION, 1) == 1:
            return image
        return ImageOps.exif_transpose(image)
    except DECODER_ERRORS:  # broken EXIF around a good picture
        return image


def _eight_bit(image: Image.Image) -> Image.Image:
    """16-bit gray to 8 bits, rounded. Pillow itself would clip it (it takes the high bytes of 16-bit colour)."""
    if image.mode not in _MODES_16_BIT:
        return image
    return Image.fromarray(((np.asarray(image).astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8))


def _srgb(image: Image.Image) -> Image.Image:
    """Through the embedded colour profile, if there is a usable one."""
    profile_bytes = image.info.get("icc_profile")
    if not profile_bytes:
        return image
    source = image if image.mode in ("L", "RGB", "RGBA", "CMYK") else image.convert("RGB")
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(profile_bytes))
        if "sRGB" in ImageCms.getProfileDescription(profile):
            return image
        mode = "RGBA" if source.mode == "RGBA" else "RGB"
        return ImageCms.profileToProfile(source, profile, ImageCms.createProfile("sRGB"), outputMode=mode) or image
    except (ImageCms.PyCMSError, *DECODER_ERRORS):
        return image  # a broken profile: the colours as they are
