"""A hundred kinds of everyday objects: how people call each, what it is for, and which are kept for the last test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sapave_ros.sim.objects import BASIC, Shape
from sapave_ros.sim.shapes import BUILDERS


@dataclass(frozen=True)
class Kind:
    """One kind of object.

    name: one or two lower-case words. build: scale to shape. words: how people call it, the usual one (== name)
    first. functions: what it is for, of `FUNCTIONS`. colours: those that it has by nature, empty for any of
    `objects.COLOURS`. held_out: never seen in training.
    """

    name: str
    build: Callable[[float], Shape]
    words: tuple[str, ...]
    functions: tuple[str, ...]
    category: str
    colours: tuple[str, ...] = ()
    held_out: bool = False


DRINK, POUR, EAT, EAT_WITH, EAT_FROM = "to drink from", "to pour from", "to eat", "to eat with", "to eat from"
COOK, CUT, WRITE, HIT, TURN, GRIP = (
    "to cook in", "to cut with", "to write with", "to hit a nail with", "to turn a screw with", "to grip with",
)  # fmt: skip
MEASURE, DRILL, PAINT, LIGHT, PLAY, TRAIN, READ = (
    "to measure with", "to drill with", "to paint with", "to make light with", "to play with", "to train with",
    "to read",
)  # fmt: skip
TIME, MUSIC, CALL, PICTURE, COUNT, WORK, SWITCH = (
    "to tell the time with", "to hear music with", "to call somebody with", "to take pictures with",
    "to calculate with", "to type on", "to change the channel with",
)  # fmt: skip
CARRY, KEEP, WATER, FLOWERS, WEAR, BRUSH, RAIN, LOCK, PRESS, COOL = (
    "to carry things in", "to keep things in", "to water plants with", "to put flowers in", "to wear",
    "to brush with", "to keep off the rain", "to lock something with", "to press clothes with", "to cool down with",
)  # fmt: skip

FUNCTIONS: tuple[str, ...] = (
    DRINK, POUR, EAT, EAT_WITH, EAT_FROM, COOK, CUT, WRITE, HIT, TURN, GRIP, MEASURE, DRILL, PAINT, LIGHT, PLAY, TRAIN,
    READ, TIME, MUSIC, CALL, PICTURE, COUNT, WORK, SWITCH, CARRY, KEEP, WATER, FLOWERS, WEAR, BRUSH, RAIN, LOCK, PRESS,
    COOL,
)  # fmt: skip
"""Everything that a thing may be for, as it follows "something"."""

_FRUIT = ("red", "green", "yellow")
_RIPE = ("yellow", "green")

# Name, other words, functions, colours by nature; a name that begins with * is held out.
_Row = tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]
_TABLE: dict[str, tuple[_Row, ...]] = {
    "vessel": (
        ("mug", ("cup",), (DRINK,), ()),
        ("bottle", ("flask",), (DRINK, POUR), ()),
        ("bowl", ("dish",), (EAT_FROM,), ()),
        ("can", ("tin",), (DRINK,), ()),
        ("teapot", ("tea pot",), (POUR,), ()),
        ("plate", ("dinner plate",), (EAT_FROM,), ()),
        ("glass", ("tumbler",), (DRINK,), ()),
        ("*wine glass", ("goblet",), (DRINK,), ()),
        ("jug", ("pitcher",), (POUR,), ()),
        ("thermos", ("vacuum flask",), (DRINK, POUR), ()),
        ("teacup", ("tea cup",), (DRINK,), ()),
        ("kettle", ("tea kettle",), (POUR,), ()),
    ),
    "kitchen": (
        ("pan", ("frying pan", "skillet"), (COOK,), ()),
        ("pot", ("cooking pot",), (COOK,), ()),
        ("knife", ("kitchen knife",), (CUT, EAT_WITH), ()),
        ("fork", ("table fork",), (EAT_WITH,), ()),
        ("spoon", ("table spoon",), (EAT_WITH,), ()),
        ("rolling pin", ("dough roller",), (), ()),
        ("*whisk", ("egg beater",), (), ()),
        ("grater", ("cheese grater",), (), ()),
        ("pepper mill", ("pepper grinder",), (), ()),
        ("toaster", ("bread toaster",), (), ()),
        ("jar", ("jam jar",), (KEEP,), ()),
    ),
    "container": (
        ("box", ("carton", "package"), (KEEP,), ()),
        ("*crate", ("fruit crate",), (CARRY, KEEP), ()),
        ("basket", ("wicker basket",), (CARRY,), ()),
        ("bucket", ("pail",), (CARRY,), ()),
        ("*milk carton", ("milk pack",), (POUR,), ()),
        ("toolbox", ("tool case",), (CARRY, KEEP), ()),
        ("treasure chest", ("trunk",), (KEEP,), ()),
        ("suitcase", ("luggage",), (CARRY,), ()),
        ("spray bottle", ("sprayer",), (), ()),
    ),
    "tool": (
        ("hammer", ("mallet",), (HIT,), ()),
        ("screwdriver", ("screw driver",), (TURN,), ()),
        ("pliers", ("pincers",), (GRIP,), ()),
        ("*wrench", ("spanner",), (GRIP,), ()),
        ("saw", ("hand saw",), (CUT,), ()),
        ("tape measure", ("measuring tape",), (MEASURE,), ()),
        ("torch", ("flashlight",), (LIGHT,), ()),
        ("drill", ("power drill",), (DRILL, TURN), ()),
        ("paint brush", ("paintbrush",), (PAINT,), ()),
        ("axe", ("hatchet",), (CUT,), ()),
        ("padlock", ("lock",), (LOCK,), ()),
    ),
    "food": (
        ("apple", (), (EAT,), _FRUIT),
        ("banana", (), (EAT,), _RIPE),
        ("lemon", (), (EAT,), _RIPE),
        ("*pear", (), (EAT,), _RIPE),
        ("carrot", (), (EAT,), ("orange", "purple")),
        ("melon", ("watermelon",), (EAT,), ("green", "yellow")),
        ("pineapple", ("ananas",), (EAT,), ("orange", "yellow")),
        ("bread", ("loaf",), (EAT,), ("orange", "black")),
        ("cake", ("birthday cake",), (EAT,), ()),
        ("*doughnut", ("donut",), (EAT,), ()),
        ("mushroom", ("toadstool",), (EAT,), ("red", "white", "orange")),
        ("pizza", (), (EAT,), ("yellow", "red", "white")),
        ("cupcake", ("muffin",), (EAT,), ()),
    ),
    "toy": (
        ("ball", (), (PLAY,), ()),
        ("teddy bear", ("teddy",), (PLAY,), ()),
        ("toy car", ("model car",), (PLAY,), ()),
        ("*toy train", ("locomotive",), (PLAY,), ()),
        ("toy house", ("dollhouse",), (PLAY,), ()),
        ("toy robot", ("little robot",), (PLAY,), ()),
        ("rubber duck", ("bath duck",), (PLAY,), ()),
        ("*skittle", ("bowling pin",), (PLAY,), ()),
        ("stacking rings", ("ring tower",), (PLAY,), ()),
        ("toy plane", ("toy aeroplane",), (PLAY,), ()),
        ("drum", (), (PLAY,), ()),
        ("dice", ("die",), (PLAY,), ()),
        ("racket", ("paddle",), (PLAY,), ()),
        ("dumbbell", ("hand weight",), (TRAIN,), ()),
    ),
    "stationery": (
        ("book", (), (READ,), ()),
        ("pencil", ("lead pencil",), (WRITE,), ()),
        ("scissors", ("shears",), (CUT,), ()),
        ("stapler", ("staple machine",), (), ()),
        ("*calculator", ("pocket calculator",), (COUNT,), ()),
        ("globe", ("world globe",), (), ("blue", "purple", "white")),
    ),
    "device": (
        ("phone", ("smartphone", "mobile"), (CALL, PICTURE), ()),
        ("laptop", ("notebook computer",), (WORK,), ()),
        ("remote control", ("remote",), (SWITCH,), ()),
        ("camera", ("photo camera",), (PICTURE,), ()),
        ("*headphones", ("headset",), (MUSIC,), ()),
        ("lamp", ("desk lamp",), (LIGHT,), ()),
        ("alarm clock", ("clock",), (TIME,), ()),
        ("radio", ("radio set",), (MUSIC,), ()),
        ("fan", ("ventilator",), (COOL,), ()),
        ("*iron", ("flat iron",), (PRESS,), ()),
    ),
    "household": (
        ("vase", ("flower vase",), (FLOWERS,), ()),
        ("candle", ("wax candle",), (LIGHT,), ()),
        ("cactus", ("cactus plant",), (), ()),
        ("plant", ("pot plant",), (), ()),
        ("*watering can", ("sprinkling can",), (WATER,), ()),
        ("*hourglass", ("sand timer",), (TIME,), ()),
        ("hairbrush", ("hair brush",), (BRUSH,), ()),
        ("umbrella", ("brolly",), (RAIN,), ()),
        ("picture frame", ("framed picture",), (), ()),
        ("toilet roll", ("toilet paper",), (), ("white", "blue", "yellow")),
        ("bell", ("hand bell",), (), ()),
        ("trophy", ("prize cup",), (), ()),
    ),
    "clothing": (
        ("*hat", ("sun hat",), (WEAR,), ()),
        ("shoe", ("trainer",), (WEAR,), ()),
    ),
}


def _kinds() -> dict[str, Kind]:
    builders = {**BASIC, **BUILDERS}
    kinds = {}
    for category, rows in _TABLE.items():
        for starred, others, functions, colours in rows:
            name = starred.removeprefix("*")
            held_out = starred.startswith("*")
            kinds[name] = Kind(name, builders[name], (name, *others), functions, category, colours, held_out)
    return kinds


CATALOGUE: dict[str, Kind] = _kinds()
"""Every kind of object by its name."""
