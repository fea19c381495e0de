"""The journal of `sapave bench perception`: what was played, task by task, so that an interrupted run can go on.

JSON lines. The first says what rows depend on, see `header`; each further one is a task with its rows, the fields of
the dataclasses of `perception_play` by their names, NaN as null. Floats are written so that they read back exactly.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import types
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from sapave_ros import __version__
from sapave_ros.bench.perception_play import Perturbed, Result, Row, Settings, Swapped, Task, Unplayable, Untold

NAME = "sapave bench perception"

FORMAT = 2
"""To be raised with the layout of the lines, and with whatever changes rows without being named in the header: how
cases are made, the measure, the simulation."""

ROWS: dict[str, type] = {kind.__name__: kind for kind in (Result, Swapped, Untold, Perturbed, Unplayable)}


class Journal:
    """A file that is added to; one run at a time. rows: of each task that is in it."""

    def __init__(self, path: Path, settings: Settings) -> None:
        """Opens it, or begins it with its folder. A last line that was cut off is removed.

        Raises ValueError where it is another run's, is being written by one, or holds what is no journal; OSError.
        """
        self.path = path
        self.rows: dict[Task, list[Row]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            self._lock()
            self._read(header(settings))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._file)

    def add(self, task: Task, rows: list[Row]) -> None:
        """Writes what came of a task, and has it on the disk when it returns. Raises OSError."""
        named = [{"row": type(row).__name__, **encoded(row)} for row in rows]
        self._write({"task": encoded(task), "rows": named})
        self.rows[task] = rows

    # -- inside ----------------------------------------------------------------------------------

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"{self.path}: another run is writing to it; name another journal") from error

    def _read(self, now: dict[str, Any]) -> None:
        first, end = _line(now), 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                whole = line.endswith(b"\n")
                if not whole and (number > 1 or first.startswith(line)):
                    break  # the power went while it was written
                try:
                    content = json.loads(line)
                    if number == 1:
                        self._compare(content, now)
                    else:
                        self._take(content)
                except Differs:
                    raise
                except (ValueError, RecursionError) as error:
                    raise ValueError(f"{self.path}, line {number}: {error}") from error
                end += len(line) if whole else 0
        os.ftruncate(self._file, end)
        if end == 0:
            self._write(now)

    def _compare(self, then: Any, now: dict[str, Any]) -> None:
        if not (isinstance(then, dict) and then.get("journal") == NAME):
            raise ValueError(f"not a journal of {NAME!r}")
        found = difference(then, now)
        if found is not None:
            field, before, after = found
            raise Differs(
                f"{self.path} is the journal of another run: {field} is {before} there and {after} now; "
                "remove it, or name another with --journal"
            )

    def _take(self, content: Any) -> None:
        if not isinstance(content, dict) or set(content) != {"task", "rows"} or not isinstance(content["rows"], list):
            raise ValueError("expected an object with a task and its rows")
        task: Task = decoded(Task, content["task"], "task")
        if task in self.rows:
            raise ValueError(f"{task.what} {task.split} {task.number} for the second time")
        self.rows[task] = [_row(row, f"rows[{i}]") for i, row in enumerate(content["rows"])]

    def _write(self, content: dict[str, Any]) -> None:
        data = memoryview(_line(content))
        while data:
            data = data[os.write(self._file, data) :]
        os.fsync(self._file)


class Differs(ValueError):
    """The header of another run."""


# -- what rows depend on -------------------------------------------------------------------------


def header(settings: Settings) -> dict[str, Any]:
    """The first line: what the rows of a task depend on, besides the task. Raises OSError where a model is missing."""
    return {
        "journal": NAME,
        "format": FORMAT,
        "sapave_ros": __version__,
        "models": {name: f"sha256 {sha256(path)}" for name, path in settings.models.items()},
        "baselines": list(settings.baselines),
        "chunking": settings.chunking,
        **asdict(settings.timing),
        "thresholds": settings.thresholds,
        "parts": list(settings.parts),
        "perturbed": list(settings.perturbed),
        "memory": settings.memory,
    }


def difference(then: dict[str, Any], now: dict[str, Any], of: str = "") -> tuple[str, str, str] | None:
    """The first field that differs with both its values, None where all are the same. Order counts: rows have it."""
    for name in dict.fromkeys((*now, *then)):
        before, after = then.get(name), now.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            found = difference(before, after, f"{name}.")
            if found is not None:
                return found
        elif before != after or (name in then) != (name in now):
            there = [json.dumps(side[name]) if name in side else "absent" for side in (then, now)]
            return of + name, there[0], there[1]
    if list(then) != list(now):
        return f"the order of {of.rstrip('.') or 'fields'}", ", ".join(then), ", ".join(now)
    return None


def sha256(path: Path) -> str:
    """Of a file. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


# -- rows as JSON --------------------------------------------------------------------------------


def encoded(value: Any) -> Any:
    """A dataclass, array or plain value as JSON has it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: encoded(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, np.ndarray):
        return [[None if math.isnan(x) else x for x in row] for row in value.tolist()]
    if isinstance(value, np.generic):
        return value.item()
    return [encoded(v) for v in value] if isinstance(value, tuple) else value


def decoded(kind: Any, value: Any, where: str) -> Any:
    """What `encoded` made of a `kind`: a dataclass, an array (m, 3), a tuple, a union or a plain type.

    where: it stands, for the ValueError that says what is wrong.
    """
    if isinstance(kind, type) and is_dataclass(kind):
        types_of = _types(kind)
        if not isinstance(value, dict) or set(value) != set(types_of):
            found = ", ".join(value) if isinstance(value, dict) else json.dumps(value)
            raise ValueError(f"{where} is {found[:200]}; expected an object with {', '.join(types_of)}")
        return kind(**{name: decoded(of, value[name], f"{where}.{name}") for name, of in types_of.items()})
    origin, args = get_origin(kind), get_args(kind)
    if origin is np.ndarray:
        return _array(value, where)
    if origin is tuple and isinstance(value, list):
        kinds = [args[0]] * len(value) if args[1:] == (...,) else args
        if len(kinds) == len(value):
            return tuple(decoded(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True)))
    if origin is types.UnionType and value is None and type(None) in args:
        return None
    plain = args if origin is types.UnionType else (kind,)
    if any(type(value) is k or (k is float and type(value) is int) for k in plain):
        return value
    raise ValueError(f"{where} is {json.dumps(value)[:200]}; expected {getattr(kind, '__name__', kind)}")


@cache
def _types(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _array(value: Any, where: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    try:
        if not {type(number) for row in value for number in row} <= {float, int, type(None)}:
            raise TypeError
        array = np.array(value, dtype=np.float64)  # (m, 3), null as NaN
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} is no list of rows of numbers") from error
    if array.ndim != 2 or array.shape[1] != 3:
        raise ValueError(f"{where} has the shape {array.shape}; expected (m, 3)")
    return array


def _row(value: Any, where: str) -> Row:
    kind = value.get("row") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in ROWS:
        raise ValueError(f"{where} is a {json.dumps(kind)}; expected of {', '.join(ROWS)}")
    row: Row = decoded(ROWS[kind], {k: v for k, v in value.items() if k != "row"}, where)
    return row


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode() + b"\n"
