"""Many shards, by whatever crew there is. What is whole is never made again."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from sapave_ros.crew import Crew
from sapave_ros.learning.pairs import store
from sapave_ros.learning.pairs.generate import TRIPLES_PER_SHARD, ShardMaker
from sapave_ros.learning.pairs.source import Source
from sapave_ros.learning.pairs.splits import Split, split_named
from sapave_ros.learning.pairs.store import ShardError, ShardName

_SHARD_BYTES = 9_000_000  # of 1000 triples, about

SourceFactory = Callable[[Split], Source]


@dataclass(frozen=True)
class Task:
    """One shard to make. source: makes the rooms and requests of a split."""

    name: ShardName
    source: SourceFactory
    triples: int = TRIPLES_PER_SHARD


@dataclass(frozen=True)
class Done:
    """A shard made. bytes: on disk. processor_s: processor time of the process that made it."""

    name: ShardName
    triples: int
    pictures: int
    bytes: int
    processor_s: float


_makers: dict[tuple[str, SourceFactory], ShardMaker] = {}


def make_one(task: Task) -> Done:
    """Makes and writes a shard. The maker stays for the next one of its split in this process."""
    start_s = time.process_time()
    key = task.name.split, task.source
    if key not in _makers:
        for maker in _makers.values():
            maker.close()
        _makers.clear()
        _makers[key] = ShardMaker(task.name.split, task.source(split_named(task.name.split)))
    shard = _makers[key].shard(task.name.seed, task.name.index, task.triples)
    size = store.write(task.name, shard)
    pictures = len(shard.pictures["picture"])
    return Done(task.name, len(shard.pairs["text"]), pictures, size, time.process_time() - start_s)


def made_by(crew: Crew, tasks: Sequence[Task]) -> Generator[Done, None, None]:
    """Shards in any order, each whole or not at all."""
    if crew.shares_files:
        for _, done in crew(make_one, tasks):
            yield done
        return
    for _, (done, files) in crew(make_bytes, tasks):
        _put(done.name, files)
        yield done


def make_bytes(task: Task) -> tuple[Done, dict[str, bytes]]:
    """A shard as the contents of its files by name, for whoever writes them elsewhere."""
    with tempfile.TemporaryDirectory() as folder:
        there = ShardName(Path(folder), task.name.split, task.name.seed, task.name.index)
        done = make_one(Task(there, task.source, task.triples))
        files = {p.name: p.read_bytes() for p in Path(folder).iterdir()}
    return Done(task.name, done.triples, done.pictures, done.bytes, done.processor_s), files


def _put(name: ShardName, files: dict[str, bytes]) -> None:
    """Whole or not at all: the note comes last."""
    name.folder.mkdir(parents=True, exist_ok=True)
    store.remove(name)
    for file in sorted(files, key=lambda f: f == name.note.name):
        partial = name.folder / f"{file}.partial"
        partial.write_bytes(files[file])
        partial.replace(name.folder / file)


def outstanding(names: Iterable[ShardName], say: Callable[[str], None] = print) -> list[ShardName]:
    """Those that are not there whole. What interrupted writers left of them and what is damaged is removed."""
    missing = []
    for name in names:
        store.sweep(name)
        if name.note.exists():
            try:
                store.check(name)
                continue
            except ShardError as error:
                say(f"removed: {error}")
                store.remove(name)
        missing.append(name)
    return missing


def make(
    names: Sequence[ShardName], source: SourceFactory, crew: Crew, triples: int = TRIPLES_PER_SHARD, bar: bool = True
) -> list[Done]:
    """Makes those of the shards that are missing, with a progress bar; returns what was made.

    Where the crew has other files than this machine, shards travel back as bytes and are written here.
    May be interrupted at any time. Raises OSError where the disk is full, RuntimeError where a worker was killed.
    """
    missing = outstanding(names, tqdm.write)
    if not missing:
        return []
    folder = missing[0].folder
    folder.mkdir(parents=True, exist_ok=True)
    needed = len(missing) * _SHARD_BYTES * triples / TRIPLES_PER_SHARD
    free = shutil.disk_usage(folder).free
    if free < needed:
        tqdm.write(f"{folder}: {free / 1e9:.1f} GB free, about {needed / 1e9:.1f} GB needed")
    made: list[Done] = []
    total = len(names) * triples
    progress = tqdm(
        total=total,
        initial=total - len(missing) * triples,
        unit="triple",
        desc=missing[0].split,
        smoothing=0.05,
        dynamic_ncols=True,
        disable=not bar,
    )
    try:
        with (
            contextlib.closing(progress),
            contextlib.closing(made_by(crew, [Task(n, source, triples) for n in missing])) as work,
        ):
            for done in work:
                made.append(done)
                progress.update(done.triples)
    finally:
        for name in missing:
            store.sweep(name)
    return made
