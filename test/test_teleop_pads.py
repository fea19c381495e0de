"""Pads: every map of the package, and what a map may not say."""

from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros.bench.rehearsal import FakePad
from sapave_ros.core import pads, remote
from sapave_ros.parameters import ParameterError
from sapave_ros.share import share_path

ENTRIES = yaml.safe_load(share_path("config/teleop.yaml").read_text())["pads"]
every_pad = pytest.mark.parametrize("name", ENTRIES)


def good() -> dict:
    return {name: dict(entry) for name, entry in ENTRIES["xbox"].items()}


@every_pad
def test_every_function_of_every_pad_does_what_it_says_and_nothing_else(name) -> None:
    pad = pads.load(name)
    fake = FakePad(pad)
    at_rest = pad.read(*fake.message())
    assert not at_rest.pressed
    assert all(value == 0.0 for value in at_rest.moving.values())
    for function in pad.places:
        ways = (1.0, -1.0) if function in pads.STICKS else (1.0,)
        for way in ways:
            fake.do = {function: way}
            controls = pad.read(*fake.message())
            moved = {f: v for f, v in controls.moving.items() if v}
            also = {(f, of) for f in controls.pressed - {function} for of in moved}
            if function in pads.BUTTONS:
                assert function in controls.pressed
                assert {(function, of) for of in moved} <= pads.MAY_SHARE
            else:
                assert moved == {function: pytest.approx(way)}
            assert also <= pads.MAY_SHARE


@every_pad
def test_a_short_message_or_one_of_nonsense_is_refused(name) -> None:
    pad = pads.load(name)
    axes, buttons = FakePad(pad).message()
    if axes:
        with pytest.raises(ValueError, match=f"axes: {len(axes) - 1} values; expected at least {len(axes)}"):
            pad.read(axes[:-1], buttons)
    with pytest.raises(ValueError, match="buttons"):
        pad.read(axes, buttons[:-1])
    for nonsense in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match=r"axes\[\d+\]"):
            pad.read([*axes, nonsense], buttons)
    pad.read([*axes, 0.5], [*buttons, 1])  # a pad may have more than is used


@every_pad
@given(data=st.data())
@settings(deadline=None, max_examples=30)
def test_whatever_a_pad_says_stays_within_its_range(name, data) -> None:
    pad = pads.load(name)
    n_axes, n_buttons = pad.needs
    number = st.floats(allow_nan=False, allow_infinity=False, width=32)
    axes = data.draw(st.lists(number, min_size=n_axes, max_size=n_axes + 2))
    buttons = data.draw(st.lists(st.integers(-3, 3), min_size=n_buttons, max_size=n_buttons + 2))
    controls = pad.read(axes, buttons)
    for function, value in controls.moving.items():
        assert (0.0 if function in pads.TRIGGERS else -1.0) <= value <= 1.0


WRONG = {
    "no such function": (lambda m: m.update(jump={"button": 9}), "no function is called 'jump'"),
    "missing": (lambda m: m.pop("deadman"), "deadman is missing"),
    "button twice": (lambda m: m.update(limb={"button": 4}), "(limb and deadman|deadman and limb) both use button 4"),
    "axis twice": (lambda m: m.update(left={"axis": 1}), "(up and left|left and up) both use axis 1"),
    "half of a stick": (lambda m: m.update(way={"axis": 1, "full": -1.0}), "way and up both use axis 1"),
    "same half": (lambda m: m.update(way={"axis": 6}), "joint_previous and way both use axis 6"),
    "no place": (lambda m: m.update(limb={}), "limb: {}; expected"),
    "two places": (lambda m: m.update(limb={"axis": 7, "button": 9}), "limb: .*; expected"),
    "unknown key": (lambda m: m.update(limb={"axis": 7, "scale": 2}), "limb: .*; expected"),
    "half a pair": (lambda m: m.update(up={"plus": 9}), "up: .*; expected"),
    "not a number": (lambda m: m.update(limb={"button": "A"}), "limb: button: 'A'; expected a whole number"),
    "a truth": (lambda m: m.update(limb={"button": True}), "limb: button: True"),
    "negative": (lambda m: m.update(limb={"button": -1}), "limb: button: -1"),
    "no way to go": (lambda m: m.update(left={"axis": 3, "rest": 1.0}), "left: rest and full are both 1.0"),
    "odd end": (lambda m: m.update(left={"axis": 3, "full": 0.5}), "left: full: 0.5; expected -1, 0 or 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_map_is_refused_with_the_field_named(case) -> None:
    entries = good()
    spoil, says = WRONG[case]
    spoil(entries)
    with pytest.raises(ParameterError, match=f"pad mine: {says}"):
        pads.parse("mine", entries)


@pytest.mark.parametrize("nonsense", [None, [], "xbox", {"forward": 4}])
def test_a_map_that_is_no_map_is_refused(nonsense) -> None:
    with pytest.raises(ParameterError, match="pad mine"):
        pads.parse("mine", nonsense)


def test_an_unknown_pad_names_those_there_are() -> None:
    with pytest.raises(ParameterError, match="'wheel'; expected one of 'game_controller', 'xbox'"):
        pads.load("wheel")


def test_the_remote_uses_no_stick_and_no_combination_of_the_robot() -> None:
    """The robot walks by the sticks of its remote; L2 and R2 are part of its own commands. Its stop is also ours."""
    pad = pads.load(pads.REMOTE)
    names = {remote.BUTTONS[b] for p in pad.places.values() for b in (p.plus, p.minus) if b is not None}
    assert all(place.axis is None for place in pad.places.values())
    assert not names & {"L2", "R2"}
    stop = pad.places["stop"].plus
    assert stop is not None
    assert remote.BUTTONS[stop] == "select"
    assert pad.needs[1] <= len(remote.BUTTONS)


@given(value=st.floats(-1.0, 1.0), dead=st.floats(0.02, 0.4), expo=st.floats(0.0, 1.0))
@settings(deadline=None)
def test_a_stick_s_curve_is_odd_rises_and_ends_where_the_stick_does(value, dead, expo) -> None:
    curve = pads.shaped(value, dead, expo)
    assert curve == -pads.shaped(-value, dead, expo)
    assert abs(curve) <= abs(value) + 1e-12
    assert (curve == 0.0) if abs(value) <= dead else (curve * value >= 0.0)
    assert pads.shaped(min(1.0, value + 0.01), dead, expo) >= curve
    assert pads.shaped(1.0, dead, expo) == pytest.approx(1.0)
