"""The frame ring: what goes in comes out whole, newest first, and anything odd about the file is said."""

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from sapave_ros.drivers.frame_ring import FrameRingReader, FrameRingWriter
from sapave_ros.drivers.shared_ring import VERSION, RingError, RingReader, RingWriter

K = np.array([[300.0, 0.0, 31.5], [0.0, 300.0, 23.5], [0.0, 0.0, 1.0]])
WIDTH, HEIGHT = 64, 48


def frame(value):
    rgb = np.full((HEIGHT, WIDTH, 3), value % 256, np.uint8)
    return float(value), rgb, np.full((HEIGHT, WIDTH), value % 65536, np.uint16)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "camera"


@pytest.fixture
def writer(path):
    w = FrameRingWriter(path, WIDTH, HEIGHT, K)
    yield w
    w.close()


def test_nothing_before_the_first_frame(path, writer):
    assert FrameRingReader(path).latest_after(0) is None


def test_a_frame_arrives_as_it_was_written(path, writer):
    stamp, rgb, depth = frame(7)
    rgb[3, 5], depth[40, 60] = (1, 2, 3), 4321
    sequence = writer.write(stamp, rgb, depth)
    number, got = FrameRingReader(path).latest_after(0)
    assert number == sequence
    assert got.stamp_s == stamp
    np.testing.assert_array_equal(got.rgb, rgb)
    np.testing.assert_array_equal(got.depth_mm, depth)
    np.testing.assert_array_equal(got.intrinsics, K)
    assert got.rgb.dtype == np.uint8
    assert got.depth_mm.dtype == np.uint16


def test_only_the_newest_and_only_once(path, writer):
    reader = FrameRingReader(path)
    for i in range(1, 12):
        writer.write(*frame(i))
    number, got = reader.latest_after(0)
    assert got.stamp_s == 11.0
    assert reader.latest_after(number) is None


def test_a_read_frame_does_not_change_when_the_ring_goes_round(path, writer):
    reader = FrameRingReader(path)
    writer.write(*frame(1))
    _, got = reader.latest_after(0)
    for i in range(2, 20):
        writer.write(*frame(i))
    assert (got.rgb == 1).all()


def test_never_half_a_frame(path, writer):
    """A writer at full speed against a reader at full speed: every frame read is of one piece."""
    stop = threading.Event()

    def write():
        i = 0
        while not stop.is_set():
            i += 1
            writer.write(*frame(i))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        reader, sequence, seen = FrameRingReader(path), 0, 0
        while seen < 200:
            found = reader.latest_after(sequence)
            if found is None:
                continue
            assert found[0] > sequence
            sequence, got = found
            value = int(got.stamp_s)
            assert (got.rgb == value % 256).all()
            assert (got.depth_mm == value % 65536).all()
            seen += 1
    finally:
        stop.set()
        thread.join()


def test_follows_a_writer_that_restarts_with_another_size(path, writer):
    reader = FrameRingReader(path)
    for i in range(1, 9):
        writer.write(*frame(i))
    sequence, _ = reader.latest_after(0)
    session = reader.session
    writer.close()
    assert reader.latest_after(sequence) is None
    second = FrameRingWriter(path, 32, 24, K)
    assert reader.latest_after(sequence) is None
    second.write(99.0, np.zeros((24, 32, 3), np.uint8), np.zeros((24, 32), np.uint16))
    sequence, got = reader.latest_after(sequence)
    assert (sequence, got.stamp_s, got.rgb.shape) == (1, 99.0, (24, 32, 3))
    assert reader.session != session
    assert reader.latest_after(sequence) is None
    second.close()


def test_close_removes_the_file_but_not_a_successor(path):
    first = FrameRingWriter(path, WIDTH, HEIGHT, K)
    first.close()
    first.close()
    assert not path.exists()
    first = FrameRingWriter(path, WIDTH, HEIGHT, K)
    path.unlink()
    second = FrameRingWriter(path, WIDTH, HEIGHT, K)
    first.close()
    assert path.exists()
    second.close()
    assert not path.exists()
    assert not list(path.parent.iterdir())


def test_two_writers_do_not_share_a_path(path, writer):
    with pytest.raises(RingError, match="another process writes it"):
        FrameRingWriter(path, WIDTH, HEIGHT, K)


def test_what_a_killed_writer_left_is_replaced(path):
    """What was read stays, who comes anew finds nothing, and the next writer is followed."""
    code = (
        "import sys, numpy as np, test_frame_ring as t\n"
        "w = t.FrameRingWriter(sys.argv[1], t.WIDTH, t.HEIGHT, t.K); w.write(*t.frame(1)); print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        reader = FrameRingReader(path)
        sequence, got = reader.latest_after(0)
        process.kill()
    assert (got.rgb == 1).all()
    assert reader.latest_after(sequence) is None
    with pytest.raises(FileNotFoundError, match="is the process that writes it running"):
        FrameRingReader(path)
    second = FrameRingWriter(path, WIDTH, HEIGHT, K)
    second.write(*frame(2))
    assert reader.latest_after(sequence)[1].stamp_s == 2.0
    second.close()


@pytest.mark.parametrize("what", ["file", "pipe", "nobody", "another ring"])
def test_a_number_of_a_process_that_comes_again_is_no_writer(path, what):
    """In a container every run may have the numbers of the one before, and something else open there."""
    with contextlib.ExitStack() as closing:
        if what == "pipe":
            ends = os.pipe()
            for end in ends:
                closing.callback(os.close, end)
            number = ends[0]
        elif what == "another ring":
            other = closing.enter_context(contextlib.closing(FrameRingWriter(path.with_name("other"), 8, 8, K)))
            number = other._ring._file.fileno()
        else:
            number = closing.enter_context(path.with_name("file").open("w")).fileno() if what == "file" else 987654
        path.symlink_to(f"/proc/{os.getpid()}/fd/{number}")
        with pytest.raises(FileNotFoundError, match="no such ring"):
            FrameRingReader(path)
        writer = closing.enter_context(contextlib.closing(FrameRingWriter(path, WIDTH, HEIGHT, K)))
        writer.write(*frame(3))
        reader = FrameRingReader(path)
        sequence, got = reader.latest_after(0)
        assert got.stamp_s == 3.0
        path.unlink()
        path.symlink_to(f"/proc/{os.getpid()}/fd/{number}")
        assert reader.latest_after(sequence) is None


def test_no_disk_is_waited_for(path, writer):
    """Pages of a file are written back every few seconds, and who writes into one meanwhile waits."""
    assert path.stat().st_nlink == 0, "the ring is a file in a folder"
    mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if path.name in line]
    assert mapped
    assert all("memfd:" in line for line in mapped)


def test_missing_file_is_named(path):
    with pytest.raises(FileNotFoundError, match="camera: no such ring"):
        FrameRingReader(path)


@pytest.mark.parametrize("content", [b"", b"something else", b"x" * 9000])
def test_a_foreign_file_is_refused_by_both_ends(path, content):
    path.write_bytes(content)
    with pytest.raises(RingError, match="not a ring"):
        FrameRingReader(path)
    with pytest.raises(FileExistsError, match="is not a ring"):
        FrameRingWriter(path, WIDTH, HEIGHT, K)
    assert path.read_bytes() == content


def test_another_version_is_refused(path, writer):
    content = bytearray(path.read_bytes())
    content[8] = VERSION + 1
    path.with_name("other").write_bytes(content)
    with pytest.raises(RingError, match=f"version {VERSION + 1}, expected {VERSION}"):
        FrameRingReader(path.with_name("other"))


def test_a_truncated_file_is_refused(path, writer):
    path.with_name("short").write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RingError, match="truncated"):
        FrameRingReader(path.with_name("short"))


def test_a_ring_of_something_else_is_refused(path):
    other = RingWriter(path, "truth", np.dtype([("a", "<f8")]), {})
    with pytest.raises(RingError, match="a ring of 'truth', expected 'rgbd'"):
        FrameRingReader(path)
    other.close()


@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH + 1), (WIDTH, HEIGHT), (1, 1)])
def test_a_picture_of_another_size_is_refused(writer, shape):
    with pytest.raises(ValueError, match="expected height, width"):
        writer.write(0.0, np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint16))


def test_all_records_in_order_until_the_ring_is_full(tmp_path):
    layout = np.dtype([("value", "<f8")])
    writer = RingWriter(tmp_path / "r", "numbers", layout, {"unit": "m"}, slots=8)
    reader = RingReader(tmp_path / "r", "numbers", lambda meta: layout)
    assert reader.meta == {"unit": "m"}
    assert reader.all_after(0) == []
    for i in range(1, 6):
        writer.write(value=i / 2)
    assert [(n, float(r["value"])) for n, r in reader.all_after(2)] == [(3, 1.5), (4, 2.0), (5, 2.5)]
    for i in range(6, 40):
        writer.write(value=i / 2)
    assert [n for n, _ in reader.all_after(0)] == list(range(33, 40))
    writer.close()
