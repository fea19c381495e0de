"""Single keys from a terminal."""

from __future__ import annotations

import os
import pty
import sys

import pytest

from sapave_ros import keys


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b" ", ["space"]),
        (b"\x1b[D\x1b[C\x1b[A\x1b[B", ["left", "right", "up", "down"]),
        (b"\x1bOC+-=", ["right", "+", "-", "="]),
        (b"\x1b\n\xff q", ["space", "q"]),
        (b"", []),
    ],
)
def test_keys_have_names(data, names):
    assert keys.named(data) == names


def test_a_pipe_has_no_keys():
    read, write = os.pipe()
    with open(read) as stream, open(write, "w"), keys.Keys(stream) as there:
        assert not there.there
        assert there.pressed() == []


def test_a_terminal_gives_keys_without_enter_and_is_left_as_it_was():
    """In a process whose terminal it is."""
    code = (
        "import sys, termios, time\n"
        "from sapave_ros.keys import Keys\n"
        "before = termios.tcgetattr(0)\n"
        "with Keys(sys.stdin) as keys:\n"
        "    print('ready', keys.there, flush=True)\n"
        "    got, end = [], time.monotonic() + 30\n"
        "    while len(got) < 3 and time.monotonic() < end:\n"
        "        got += keys.pressed()\n"
        "        time.sleep(0.01)\n"
        "print('got', got, termios.tcgetattr(0) == before, flush=True)\n"
    )
    pid, master = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", code])
    said = b""
    try:
        while b"ready True" not in said:
            said += os.read(master, 1000)
        os.write(master, b" \x1b[C+")
        while b"got" not in said or not said.endswith(b"\n"):
            said += os.read(master, 1000)
    finally:
        os.waitpid(pid, 0)
        os.close(master)
    assert b"got ['space', 'right', '+'] True" in said
