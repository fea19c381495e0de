"""Message definitions as text and their hashes, from the ROS installation that is running.

A bag that carries them can be read where there is no ROS, and by a ROS in which a message has changed since.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from pathlib import Path

_SEPARATOR = "=" * 80
_PLAIN = {"bool", "byte", "char", "float32", "float64", "string", "wstring"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}


class UnknownTypeError(ValueError):
    """This ROS installation does not have that message. The message says where it was looked for."""


def _file(type_name: str, suffix: str) -> Path:
    package, name = type_name.split("/")
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(":") if p] + [sys.prefix]
    folders = [Path(prefix) / "share" / package / "msg" for prefix in prefixes]
    for folder in folders:
        if (folder / f"{name}{suffix}").is_file():
            return folder / f"{name}{suffix}"
    raise UnknownTypeError(f"{type_name}: no {name}{suffix} in {', '.join(map(str, folders))}")


def _parts(type_name: str, text: str) -> list[str]:
    """The messages, as `package/Name`, that a definition is made of."""
    found = []
    for line in text.splitlines():
        words = line.split("#")[0].split()
        # A constant is `type NAME=value`; constants are of plain types, so what is asked below leaves them out.
        kind = words[0].split("[")[0].split("<")[0] if len(words) > 1 else ""
        if kind and kind not in _PLAIN:
            found.append(kind if "/" in kind else f"{type_name.split('/')[0]}/{kind}")
    return found


@functools.cache
def definition(type_name: str) -> str:
    """The text of `package/Name` and, below it, of all it is made of: what MCAP calls `ros2msg`.

    Raises UnknownTypeError.
    """
    text = _file(type_name, ".msg").read_text(encoding="utf-8")
    blocks, seen, waiting = [text], {type_name}, _parts(type_name, text)
    while waiting:
        part = waiting.pop(0)
        if part in seen:
            continue
        seen.add(part)
        text = _file(part, ".msg").read_text(encoding="utf-8")
        blocks.append(f"{_SEPARATOR}\nMSG: {part}\n{text}")
        waiting += _parts(part, text)
    return "\n".join(block.rstrip("\n") + "\n" for block in blocks)


@functools.cache
def type_hash(type_name: str) -> str:
    """`RIHS01_...` of `package/Name`, as ROS computed it; empty where it has none (Humble)."""
    full = type_name.replace("/", "/msg/")
    try:
        hashes = json.loads(_file(type_name, ".json").read_text(encoding="utf-8"))["type_hashes"]
    except UnknownTypeError:
        return ""
    return next((h["hash_string"] for h in hashes if h["type_name"] == full), "")
