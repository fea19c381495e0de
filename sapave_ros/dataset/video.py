"""Pictures to an mp4 that LeRobot's decoders read: H.264, a key frame every second frame, frames exactly 1/fps apart.

Every second frame is a key frame because training asks for single frames in any order, and there are no frames that
need later ones. One thread, so that the same pictures are the same bytes.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe
from numpy.typing import NDArray

_CRF = 18  # hardly to be told from the original
_KEY_EVERY = 2
_EXACT = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-movflags", "+faststart"]


def about(height: int, width: int, fps: int) -> dict[str, Any]:
    """What info.json tells of such a video."""
    return {
        "video.height": height,
        "video.width": width,
        "video.codec": "h264",
        "video.pix_fmt": "yuv420p",
        "video.is_depth_map": False,
        "video.fps": fps,
        "video.channels": 3,
        "has_audio": False,
    }


class VideoEncoder:
    """One video. Raises OSError with what the encoder said where it cannot write, and ValueError on an odd size."""

    def __init__(self, path: Path, height: int, width: int, fps: int) -> None:
        if height % 2 or width % 2:
            raise ValueError(f"picture: {width} x {height}; expected even numbers, as the video halves its colour")
        self.path = path
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps), "-i", "-"]
        codec = ["-c:v", "libx264", "-crf", str(_CRF), "-pix_fmt", "yuv420p", "-g", str(_KEY_EVERY), "-bf", "0"]
        command = [*_ffmpeg(), *source, "-an", *codec, "-threads", "1", *_EXACT, str(path)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=self._said)

    def write(self, rgb: NDArray[np.uint8]) -> None:
        """The next frame, (H, W, 3)."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(np.ascontiguousarray(rgb).data)
        except BrokenPipeError:
            self._end()
            raise OSError(self._trouble()) from None

    def close(self) -> None:
        """Ends the video."""
        if self._end() != 0:
            raise OSError(self._trouble())

    def abort(self) -> None:
        """Ends the encoder; what it has written is of no use."""
        self._process.kill()
        self._end()
        self._said.close()

    def _end(self) -> int:
        try:
            self._process.communicate()
        except BrokenPipeError:  # it has ended before
            self._process.wait()
        return self._process.returncode

    def _trouble(self) -> str:
        return f"{self.path}: {_last_line(self._said)}"


def join(parts: Sequence[Path], path: Path) -> None:
    """Videos of one size and rate one after the other, without encoding them again. Raises OSError.

    The parts are removed.
    """
    if len(parts) == 1:
        parts[0].rename(path)
        return
    listed = path.with_suffix(".txt")
    listed.write_text("".join(f"file '{part.name}'\n" for part in parts), encoding="utf-8")
    command = [*_ffmpeg(), "-f", "concat", "-safe", "0", "-i", str(listed), "-c", "copy", *_EXACT, str(path)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        raise OSError(f"{path}: {done.stderr.decode(errors='replace').strip()[-300:]}")
    for used in (*parts, listed):
        used.unlink()


def _ffmpeg() -> list[str]:
    return [get_ffmpeg_exe(), "-y", "-loglevel", "error"]


def _last_line(said: IO[bytes]) -> str:
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines()
    return lines[-1][-300:] if lines else "the encoder has ended without a word"
