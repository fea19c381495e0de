"""What the demo says of a room and of an instruction is what the language means there."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from sapave_ros import cli
from sapave_ros.demo.told import listing, meaning, told, where
from sapave_ros.learning.language import DIRECTIONS, KINDS_OF_INSTRUCTION, requests
from sapave_ros.learning.language.interpreter import read
from sapave_ros.sim.aim import NOTHING
from sapave_ros.sim.live import PLAIN, ROOMS, live_room
from sapave_ros.sim.rooms import TEMPLATES, make_room

RICH = [name for name in ROOMS if name != PLAIN]


@pytest.mark.parametrize("template", RICH[::5])
def test_an_instruction_aims_at_all_that_it_means(template):
    room = make_room(template, 11)
    asked = requests(np.random.default_rng(1), room, 40, "train")
    assert len({r.kind for r in asked}) >= len(KINDS_OF_INSTRUCTION) - 2
    for request in asked:
        aim, why_not = meaning(request.text, room)
        if request.goal.absent:
            assert aim == NOTHING and "nothing in this room" in why_not
        elif request.goal.direction:
            assert aim.names == (request.goal.direction,) and aim.pose == DIRECTIONS[request.goal.direction]
        else:
            items = {room.scene.names[g.item] for g in request.goals if g.item is not None}
            marks = {room.landmarks[g.landmark].name for g in request.goals if g.landmark is not None}
            assert set(aim.names) == items | marks
            assert not why_not and aim.pose is None
            aim.check(room)


def test_what_is_certain_is_meant_and_what_people_might_disagree_about_only_where_nothing_is():
    certain = 0
    for template in RICH[::3]:
        room = make_room(template, 3)
        for landmark in room.landmarks:
            for text in (f"look at the thing behind the {landmark.name}", f"what is on the {landmark.name}?"):
                try:
                    reading = read(text, room)
                except ValueError:
                    continue
                right = reading.sure or reading.maybe
                names = {room.scene.names[g.item] for g in right if g.item is not None}
                names |= {room.landmarks[g.landmark].name for g in right if g.landmark is not None}
                assert set(meaning(text, room)[0].names) == names
                certain += 0 < len(reading.sure) < len(reading.maybe)
    assert certain


@pytest.mark.parametrize("text", ["dance", "", "look at the flurb", "look at the mug and dance"])
def test_what_is_not_understood_is_said_in_one_line_and_aims_at_nothing(text):
    case = told("tabletop", 3, text)
    assert case.aim == NOTHING
    assert "not understood" in case.why_not and "\n" not in case.why_not
    assert case.instruction == text and case.room == make_room("tabletop", 3)  # it plays all the same


@pytest.mark.parametrize("name", ROOMS)
def test_without_an_instruction_it_is_asked_for_something_that_is_there(name):
    case = told(name, 3, None)
    (thing,) = case.aim.names
    assert thing in case.room.scene.names
    assert case.instruction.endswith(thing)
    assert case.room == live_room(name, 3, case.aim)


def test_the_plain_room_is_judged_by_colour_and_kind():
    assert told(PLAIN, 3, None).instruction == "look at the red mug"
    assert told(PLAIN, 7, "Find the BLUE bottle, please.").aim.names == ("blue bottle",)
    case = told(PLAIN, 3, "dance")
    assert case.aim == NOTHING and "no colour and kind" in case.why_not


@pytest.mark.parametrize("template", RICH)
def test_the_listing_names_everything_once_with_its_place(template):
    room = make_room(template, 5)
    text = "\n".join(listing(room))
    for name, place, preposition in zip(room.scene.names, room.place, room.preposition, strict=True):
        said = where(room, name)
        assert said in text
        assert said.startswith(f"{name} {preposition} the ") and said.endswith(place or "floor")
    for mark in room.landmarks:
        assert (mark.name in text) or mark.sort == "inside"
    assert "inside of" not in text


def test_a_wrong_room_is_one_line_and_code_2(capsys):
    for words in (["demo", "--room", "tabeltop"], ["up", "--sim", "--room", "tabeltop"]):
        assert cli.main(words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line == "sapave: error: room: 'tabeltop' is not known; did you mean tabletop?"


@pytest.mark.parametrize("command", ["demo", "up"])
def test_help_lists_the_rooms(command, capsys):
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    said = "".join(capsys.readouterr().out.split())
    assert all(name.replace(" ", "") in said for name in TEMPLATES) and PLAIN in said


def test_what_a_room_means_needs_no_torch_and_no_graphics():
    """`sapave up` on a robot comes here as well, where neither is installed."""
    import subprocess

    code = "import sys, sapave_ros.demo.told, sapave_ros.up; print({'torch', 'mujoco'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
