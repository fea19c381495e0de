"""Messages carry the types without loss, and what they cannot mean is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sapave_ros.nodes import ros
from sapave_ros.types import ActionChunk, Mode, Permit

chunks = st.builds(
    ActionChunk,
    stamp_s=st.integers(1_700_000_000_000_000, 1_900_000_000_000_000).map(lambda us: us / 1e6),
    dt_s=st.floats(0.01, 0.5),
    joint_names=st.just(("a", "b", "c")),
    increments=arrays(np.float64, st.tuples(st.integers(1, 32), st.just(3)), elements=st.floats(-1, 1)),
)


@given(chunks)
@settings(deadline=None)
def test_chunk_round_trip(chunk):
    back = ros.chunk_from_msg(ros.chunk_to_msg(chunk))
    assert back.stamp_s == pytest.approx(chunk.stamp_s, abs=1e-6)
    assert back.dt_s == pytest.approx(chunk.dt_s, abs=1e-9)
    assert back.joint_names == chunk.joint_names
    np.testing.assert_array_equal(back.increments, chunk.increments)


def test_chunks_of_another_form_are_refused_by_field():
    def msg():
        return ros.chunk_to_msg(ActionChunk(1e9, 0.1, ("a", "b"), np.zeros((3, 2))))

    empty = msg()
    empty.points = []
    with pytest.raises(ValueError, match="points: empty"):
        ros.chunk_from_msg(empty)
    short = msg()
    short.points[1].positions = [0.0]
    with pytest.raises(ValueError, match=r"points\[1\].positions: 1 values; expected one for each of 2"):
        ros.chunk_from_msg(short)
    uneven = msg()
    uneven.points[2].time_from_start = ros.to_msg_duration(0.5)
    with pytest.raises(ValueError, match="time_from_start"):
        ros.chunk_from_msg(uneven)
    still = msg()
    for point in still.points:
        point.time_from_start = ros.to_msg_duration(0.0)
    with pytest.raises(ValueError, match="positive dt"):
        ros.chunk_from_msg(still)


@given(st.sampled_from(list(Mode)), st.sampled_from(list(Mode)), st.integers(0, 10**6), st.text(max_size=40))
@settings(deadline=None)
def test_permit_round_trip(head, arms, sequence, reason):
    permit = Permit(5.0, sequence, "ACTIVE", reason, head, arms, sent_s=5.0)
    assert ros.permit_from_msg(ros.permit_to_msg(permit), 5.0) == permit


@given(st.lists(st.tuples(st.sampled_from(["mode_head", "mode_arms", "state", "x"]), st.text(max_size=8)), max_size=6))
@settings(deadline=None)
def test_a_permit_that_is_not_understood_moves_nothing(values):
    if any(v == "move" for _, v in values):
        return
    msg = DiagnosticStatus(values=[KeyValue(key=k, value=v) for k, v in values])
    permit = ros.permit_from_msg(msg, 0.0)
    assert permit.mode_head is not Mode.MOVE
    assert permit.mode_arms is not Mode.MOVE


@pytest.mark.parametrize("sequence", ["²", "", "-3", "1.5", "٣", "9" * 5000])
def test_a_permit_with_any_sequence_is_a_permit(sequence):
    """A digit that is no number ended the node that read it."""
    permit = ros.permit_from_msg(DiagnosticStatus(values=[KeyValue(key="sequence", value=sequence)]), 0.0)
    assert permit.sequence in (-1, 3)


@pytest.mark.parametrize(
    ("image", "encoding"),
    [
        (np.arange(24, dtype=np.uint8).reshape(2, 4, 3), "rgb8"),
        (np.arange(8, dtype=np.uint16).reshape(2, 4) * 999, "16UC1"),
        (np.arange(8, dtype=np.uint8).reshape(2, 4), "mono8"),
    ],
)
def test_image_round_trip(image, encoding):
    np.testing.assert_array_equal(ros.image_array(ros.image_msg(image, encoding, 1.5, "camera")), image)
    view = image[:, ::2] if image.ndim == 2 else image[:, ::2, :]  # not contiguous
    np.testing.assert_array_equal(ros.image_array(ros.image_msg(view, encoding, 1.5, "camera")), view)


def test_images_that_lie_about_themselves_are_refused():
    msg = ros.image_msg(np.zeros((2, 4, 3), np.uint8), "rgb8", 0.0, "camera")
    msg.encoding = "bgr8"
    with pytest.raises(ValueError, match="encoding: 'bgr8'; expected one of rgb8"):
        ros.image_array(msg)
    msg.encoding, msg.height = "rgb8", 3
    with pytest.raises(ValueError, match="data: 24 bytes"):
        ros.image_array(msg)
