"""The four splits: what may be in them, and the numbers of their rooms, which never meet."""

from __future__ import annotations

from dataclasses import dataclass

SEEDS = 100
SHARDS = 100_000
ROOMS_PER_SHARD = 1000
"""Most rooms that one shard may take up."""

_SPAN = SEEDS * SHARDS * ROOMS_PER_SHARD


@dataclass(frozen=True)
class Split:
    """number: of the block of room seeds. held_out: rooms of templates, and things of kinds, that no other split has.

    new_instances: things in sizes and shades that training does not have. phrasing: of the instructions.
    """

    name: str
    number: int
    meaning: str
    phrasing: str = "train"
    new_instances: bool = False
    held_out: bool = False

    def room_seed(self, seed: int, shard: int, room: int) -> int:
        """Number of a room. Raises ValueError for what would run into another shard's, seed's or split's."""
        for name, value, limit in (("seed", seed, SEEDS), ("shard", shard, SHARDS), ("room", room, ROOMS_PER_SHARD)):
            if not 0 <= value < limit:
                raise ValueError(f"{name}: {value}, expected 0 to {limit - 1}")
        return ((self.number * SEEDS + seed) * SHARDS + shard) * ROOMS_PER_SHARD + room


SPLITS: dict[str, Split] = {
    s.name: s
    for s in (
        Split("train", 1, "to train on"),
        Split("val", 2, "known things and templates in new rooms"),
        Split("test1", 3, "new phrasings; things in new sizes and shades", phrasing="test1", new_instances=True),
        Split(
            "test2",
            4,
            "held-out templates and things, new combinations of words",
            phrasing="test2",
            held_out=True,
        ),
    )
}


def split_named(name: str) -> Split:
    """Raises ValueError that lists the names."""
    if name not in SPLITS:
        raise ValueError(f"split: {name!r}, expected of {', '.join(SPLITS)}")
    return SPLITS[name]


def split_of(room_seed: int) -> str:
    """The split that a room belongs to. Raises ValueError for a number that is in none."""
    number = room_seed // _SPAN
    for s in SPLITS.values():
        if s.number == number:
            return s.name
    raise ValueError(f"room seed: {room_seed} is in no split")
