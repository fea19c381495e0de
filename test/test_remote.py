"""The Unitree remote, against bytes laid down by hand from Unitree's description: gamepad.hpp of unitree_sdk2."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sapave_ros.core.remote import AXES, BUTTONS, DEAD_ZONE, decode

# Byte and mask of every button; where each stick's float lies, little endian.
BUTTON_AT = {
    "R1": (2, 0x01), "L1": (2, 0x02), "start": (2, 0x04), "select": (2, 0x08),
    "R2": (2, 0x10), "L2": (2, 0x20), "F1": (2, 0x40), "F2": (2, 0x80),
    "A": (3, 0x01), "B": (3, 0x02), "X": (3, 0x04), "Y": (3, 0x08),
    "up": (3, 0x10), "right": (3, 0x20), "down": (3, 0x40), "left": (3, 0x80),
}  # fmt: skip
STICK_AT = {"lx": 4, "rx": 8, "ry": 12, "ly": 20}
HALF = bytes([0x00, 0x00, 0x00, 0x3F])  # 0.5 as a float of IEEE 754
MINUS_ONE = bytes([0x00, 0x00, 0x80, 0xBF])


def laid(buttons=(), **sticks: bytes) -> bytes:
    data = bytearray(40)
    data[0], data[1] = 0x55, 0x51  # the head says nothing
    for name in buttons:
        byte, mask = BUTTON_AT[name]
        data[byte] |= mask
    for name, four in sticks.items():
        data[STICK_AT[name] : STICK_AT[name] + 4] = four
    return bytes(data)


def test_the_names_are_those_of_the_description() -> None:
    assert set(BUTTONS) == set(BUTTON_AT)
    assert set(AXES) == set(STICK_AT)


def test_a_remote_that_is_off_is_at_rest() -> None:
    remote = decode(bytes(40))
    assert not any(remote.buttons)
    assert not any(remote.axes)
    assert not remote.stop


@pytest.mark.parametrize("name", BUTTON_AT)
def test_each_button_alone(name) -> None:
    remote = decode(laid([name]))
    assert [n for n in BUTTONS if remote.pressed(n)] == [name]
    assert not any(remote.axes)


@pytest.mark.parametrize("name", STICK_AT)
def test_each_stick_alone(name) -> None:
    for four, value in ((HALF, 0.5), (MINUS_ONE, -1.0)):
        remote = decode(laid(**{name: four}))
        assert dict(zip(AXES, remote.axes, strict=True)) == {n: value if n == name else 0.0 for n in AXES}
        assert not any(remote.buttons)


def test_the_trigger_and_the_idle_bytes_are_no_stick() -> None:
    data = bytearray(laid())
    data[16:20] = HALF  # L2, analogue
    data[24:40] = b"\xff" * 16
    assert decode(bytes(data)) == decode(laid())


@given(st.sets(st.sampled_from(sorted(BUTTON_AT))))
def test_any_buttons_together_and_which_of_them_stop(held) -> None:
    remote = decode(laid(held))
    assert {n for n in BUTTONS if remote.pressed(n)} == held
    assert remote.stop == ("select" in held or {"L2", "B"} <= held)


@pytest.mark.parametrize("two", [*itertools.combinations(["L2", "B", "R2", "A"], 2)])
def test_stopping_takes_just_these_two(two) -> None:
    assert decode(laid(two)).stop == (set(two) == {"L2", "B"})


@given(st.binary(min_size=4, max_size=4), st.sampled_from(AXES))
def test_no_bytes_make_a_stick_that_is_no_number_or_out_of_range(four, name) -> None:
    value = decode(laid(**{name: four})).axes[AXES.index(name)]
    assert math.isfinite(value)
    assert value == 0.0 or DEAD_ZONE <= abs(value) <= 1.0


@pytest.mark.parametrize("size", [0, 24, 39, 41])
def test_other_sizes_are_refused(size) -> None:
    with pytest.raises(ValueError, match=f"wireless_remote has {size} bytes: expected 40"):
        decode(bytes(size))
