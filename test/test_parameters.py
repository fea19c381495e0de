"""Nonsense is refused with the field, the value and what was expected."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sapave_ros.parameters import ParameterError, check, expected, parameter
from sapave_ros.plan import Options
from sapave_ros.up import overrides


@dataclass(frozen=True)
class Example:
    rate_hz: float = parameter(5.0, unit="Hz", low=0.1, high=30.0, doc="inferences per second")
    source: str = parameter("sim", choices=("sim", "realsense"), doc="which camera")
    ids: list[int] = parameter([1, 2], low=0, high=252, doc="servo ids")
    level: int = parameter(1, low=0, doc="open to the top")


def test_defaults_pass():
    check(Example())


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_number_passes_exactly_within_its_range(value):
    if math.isfinite(value) and 0.1 <= value <= 30.0:
        check(Example(rate_hz=value))
    else:
        with pytest.raises(ParameterError, match=r"rate_hz.*0\.1\.\.30 Hz"):
            check(Example(rate_hz=value))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "webcam"}, "source: 'webcam'; expected one of 'sim', 'realsense'"),
        ({"ids": [1, 300]}, r"ids: \[1, 300\]"),
        ({"level": -1}, "level: -1; expected a number ≥ 0"),
    ],
)
def test_message_names_field_value_and_expectation(change, message):
    with pytest.raises(ParameterError, match=message):
        check(Example(**change))


def test_every_field_says_what_it_expects():
    for spec in fields(Example):
        assert expected(spec)


@pytest.mark.parametrize("item", ["rate:=5", "inference.rate=5", ".x:=1", "inference.:=1", "inference"])
def test_set_of_another_form_is_refused(item):
    with pytest.raises(ParameterError, match="NODE.PARAMETER:=VALUE"):
        overrides([item])


def test_set_keeps_the_value_as_it_is():
    assert overrides(["camera.ring:=/a:=b", "head.port:=/dev/x"]) == {
        "camera": {"ring": "/a:=b"},
        "head": {"port": "/dev/x"},
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ros_domain": 500}, "ros_domain: 500; expected 0..101"),
        ({"dds_domain": -1}, "dds_domain: -1"),
        ({"dds_domain": 7}, "also the ROS domain"),
        ({"overrides": {"legs": {}}}, "legs; expected one of the nodes"),
    ],
)
def test_options_of_a_start_are_checked(change, message):
    with pytest.raises(ParameterError, match=message):
        Options(**{"sim": True, "ros_domain": 7, "dds_domain": 8, **change})
