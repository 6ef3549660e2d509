"""Videos into H.264 MP4 files and back. Frames stream in; the file appears when it is whole, its settings inside."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from wanvideo.errors import EncodeFailed, InvalidFrames, InvalidMedia, InvalidRequest, InvalidSize
from wanvideo.media import settings as settings_text
from wanvideo.media.kinds import MP4, file_kind
from wanvideo.media.output import CODEC, STILL_SUFFIXES, VIDEO_SUFFIXES, check_name, publish, require_encoder, writing
from wanvideo.media.still import save_image

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.video.stream import VideoStream

Frames: TypeAlias = npt.NDArray[np.uint8]  # RGB, [F, H, W, 3]

# Close to what 4:2:0 chroma allows at all: on drawn and on noisy clips, 128x128 and 832x480, within 0.4 dB of lossless
# H.264 in the first frame and 0.7 dB over the clip, in an eighth of the bytes. "slow" takes 1.6 times as long.
# Without the last, x264 makes other B-frames of the same frames in some runs on CPUs with AVX-512.
ENCODER_OPTIONS: Final = {"crf": "16", "preset": "medium", "x264-params": "cpu-independent=1"}

BT709: Final = 1  # the same number for matrix, primaries and transfer in ITU-T H.273, and for swscale's matrix
LIMITED, FULL = 1, 2  # range: 16-235, as players expect of video, and 0-255, as in RGB
# swscale flags. To 4:2:0: area | accurate rounding | full chroma input. Back: bicubic | accurate | full interpolation.
TO_YUV: Final = 0x20 | 0x40000 | 0x4000
TO_RGB: Final = 0x4 | 0x40000 | 0x2000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Video:
    """A finished clip: `frames` uint8 RGB [F, H, W, 3] at `fps`, and the JSON settings that made it."""

    frames: Frames
    fps: float
    settings: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_frames(self.frames)
        if not len(self.frames):
            raise InvalidFrames("a video has at least 1 frame, not 0")

    @property
    def width(self) -> int:
        return int(self.frames.shape[2])

    @property
    def height(self) -> int:
        return int(self.frames.shape[1])

    @property
    def seconds(self) -> float:
        return len(self.frames) / self.fps

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an MP4 file, or a PNG, JPEG or WebP file if there is one frame; all of it or nothing.

        Raises `OutputNotWritable`, `DiskFull`, `EncodeFailed` or `InvalidSize`.
        """
        path = Path(path)
        check_name(path, len(self.frames))
        if path.suffix.lower() in STILL_SUFFIXES:
            save_image(path, self.frames[0], self.settings)
            return
        with VideoWriter(path, width=self.width, height=self.height, fps=self.fps, settings=self.settings) as writer:
            writer.write(self.frames)


class VideoWriter:
    """Streams frames into an MP4 file that appears at `path` only when the `with` block ends well.

    H.264, yuv420p, BT.709 in limited range and tagged so, index in front (faststart). `settings` go as one JSON object
    into the `comment` tag, beside `title` and `description`. Whatever ends the block early, Ctrl-C included, leaves
    nothing behind and an older file at `path` untouched.

    Raises `OutputNotWritable`, `DiskFull`, `EncodeFailed`; `InvalidSize` for odd sizes, which 4:2:0 does not have;
    `InvalidFrames` for frames that do not fit.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        width: int,
        height: int,
        fps: float,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        if width % 2 or height % 2 or width < 2 or height < 2:
            raise InvalidSize(f"{width} x {height} cannot be an MP4: width and height must be even, at least 2 pixels")
        if not 0.01 <= fps <= 1000:
            raise InvalidRequest(f"{fps} frames per second cannot be encoded: use 0.01 to 1000")
        self.path, self.width, self.height = Path(path), width, height
        self.fps = Fraction(fps).limit_denominator(1001)
        self.frames = 0  # written so far
        self._tags = _tags(settings or {})
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        require_encoder()
        with ExitStack() as resources:
            part = resources.enter_context(publish(self.path, VIDEO_SUFFIXES))
            with _encoding(self.path):
                self._open(part)
            resources.push(self._close)
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.__exit__(kind, error, trace)

    def write(self, frames: Frames) -> None:
        """Append `frames`, uint8 RGB [n, H, W, 3]."""
        _check_frames(frames)
        if frames.shape[1:3] != (self.height, self.width):
            given = f"{frames.shape[2]} x {frames.shape[1]}"
            raise InvalidFrames(f"frames of {given} pixels do not fit a video of {self.width} x {self.height}")
        for frame in frames:
            with _encoding(self.path):
                self._encode(frame)

    def _open(self, part: Path) -> None:
        import av

        self._container: OutputContainer = av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"})
        self._container.metadata.update(self._tags)
        self._stream: VideoStream = self._container.add_stream(CODEC, rate=self.fps, options=ENCODER_OPTIONS)
        self._stream.width, self._stream.height, self._stream.pix_fmt = self.width, self.height, "yuv420p"
        codec = self._stream.codec_context
        codec.color_range = LIMITED
        codec.colorspace = codec.color_primaries = codec.color_trc = BT709

    def _encode(self, frame: Frames) -> None:
        """Convert and encode one frame [H, W, 3]."""
        import av

        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24").reformat(
            format="yuv420p",
            src_color_range=FULL,
            dst_color_range=LIMITED,
            dst_colorspace=BT709,
            interpolation=TO_YUV,
        )
        picture.pts, picture.time_base = self.frames, 1 / self.fps
        self._container.mux(self._stream.encode(picture))
        self.frames += 1

    def _close(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Finish the file, or just let go of it after an error."""
        from av.error import FFmpegError

        try:
            if kind is None:
                if not self.frames:
                    raise EncodeFailed(f"no frame was written to {self.path}")
                with _encoding(self.path):
                    self._container.mux(self._stream.encode(None))
                    self._container.close()
        finally:
            with suppress(FFmpegError):
                self._container.close()


def read_video(path: str | os.PathLike[str]) -> Video:
    """Decode an MP4 file whole. Raises `InvalidMedia`."""
    path = Path(path)
    with open_video(path) as (container, stream):
        frames = [
            frame.reformat(format="rgb24", dst_color_range=FULL, interpolation=TO_RGB).to_ndarray()
            for frame in container.decode(stream)
        ]
        if not frames or not stream.average_rate:
            raise InvalidMedia(f"{path} holds no frames that can be played", facts={"path": str(path)})
        settings = settings_text.from_json(container.metadata.get("comment")) or {}
        return Video(frames=np.stack(frames), fps=float(stream.average_rate), settings=settings)


@contextmanager
def open_video(path: Path) -> Iterator["tuple[InputContainer, VideoStream]"]:
    """An MP4 file and the video in it, open for reading; errors inside the block become `InvalidMedia`."""
    kind = file_kind(path, InvalidMedia)
    if kind != MP4:
        raise InvalidMedia(f"{path} is {kind}: give an MP4 video", facts={"path": str(path)})
    if _is_cut_off(path):  # FFmpeg would play the part that is there
        raise InvalidMedia(f"{path} is cut off: copy or download it again", facts={"path": str(path)})
    try:
        import av
    except ImportError as reason:
        raise InvalidMedia("PyAV, which reads videos, is not installed: pip install 'wanvideo[engine]'") from reason
    try:
        # From a file object and with the format named, no path is ever taken for a URL or a playlist.
        with path.open("rb") as file, av.open(file, "r", format="mp4", metadata_errors="replace") as container:
            # The stream of an unknown codec has no width.
            stream = next((stream for stream in container.streams.video if hasattr(stream, "width")), None)
            if stream is None:
                raise InvalidMedia(f"{path} holds no video in a format that we know", facts={"path": str(path)})
            yield container, stream
    except (av.FFmpegError, OSError) as reason:
        raise InvalidMedia(
            f"{path} is {kind}, but damaged: copy or download it again", facts={"path": str(path)}
        ) from reason


@contextmanager
def _encoding(path: Path) -> Iterator[None]:
    from av.error import FFmpegError

    try:
        with writing(path):
            yield
    except FFmpegError as reason:
        raise EncodeFailed(f"the H.264 encoder failed on {path}: {reason}") from reason


def _is_cut_off(path: Path) -> bool:
    """Whether a top-level box of an MP4 file claims more bytes than the file has."""
    position, end = 0, path.stat().st_size
    with path.open("rb") as file:
        while position + 8 <= end:
            file.seek(position)
            size = int.from_bytes(file.read(4), "big")
            if size == 1:  # a 64-bit size follows the name
                size = int.from_bytes(file.read(12)[4:], "big")
            if size < 8:  # 0: up to the end; else damaged, which FFmpeg will say
                return False
            position += size
    return position > end


def _check_frames(frames: Frames) -> None:
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise InvalidFrames(f"frames must be uint8 RGB [F, H, W, 3], not {frames.dtype} {list(frames.shape)}")


def _tags(settings: Mapping[str, object]) -> dict[str, str]:
    """The tags that players and file managers read. Without `use_metadata_tags`, which would hide them from most."""
    tags = {
        "title": settings_text.title(settings),
        "description": settings_text.description(settings),
        "comment": settings_text.to_json(settings) if settings else "",
    }
    return {key: text for key, text in tags.items() if text}
