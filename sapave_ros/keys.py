"""Single keys from a terminal, without waiting."""

from __future__ import annotations

import os
import select
import termios
import tty
from typing import TextIO

KEYS = {
    b"\x1b[A": "up", b"\x1b[B": "down", b"\x1b[C": "right", b"\x1b[D": "left",
    b"\x1bOA": "up", b"\x1bOB": "down", b"\x1bOC": "right", b"\x1bOD": "left", b" ": "space",
}  # fmt: skip
"""What terminals send, and our names; any other printable character is its own name."""


class Keys:
    """`with Keys(sys.stdin) as keys:` takes keys as they are pressed, and gives the terminal back as it was.

    Where the stream is no terminal, or one that belongs to another process just now, there are no keys.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._saved: list | None = None

    def __enter__(self) -> Keys:
        try:
            self._fd = self._stream.fileno()
            # Who sets a terminal from the background is stopped by it.
            if self._stream.isatty() and os.tcgetpgrp(self._fd) == os.getpgrp():
                self._saved = termios.tcgetattr(self._fd)
                tty.setcbreak(self._fd)
        except (OSError, ValueError, termios.error):  # closed, or no terminal after all
            self._saved = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._saved is not None:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._saved)

    @property
    def there(self) -> bool:
        """Whether keys can come at all."""
        return self._saved is not None

    def pressed(self) -> list[str]:
        """Names of the keys pressed since the last call."""
        if not self.there or not select.select([self._fd], [], [], 0.0)[0]:
            return []
        return named(os.read(self._fd, 1024))


def named(data: bytes) -> list[str]:
    """Names of the keys in what a terminal has sent; what has no name is passed over."""
    names = []
    while data:
        for code, name in KEYS.items():
            if data.startswith(code):
                names.append(name)
                data = data[len(code) :]
                break
        else:
            if 0x20 < data[0] < 0x7F:
                names.append(chr(data[0]))
            data = data[1:]
    return names
