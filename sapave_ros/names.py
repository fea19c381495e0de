"""Names that a person types."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def known(what: str, name: str, names: Iterable[str]) -> None:
    """ValueError on a name that is not among the names: what may have been meant, or all there are."""
    names = list(names)
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]}?" if near else f"expected of {', '.join(names)}"
        raise ValueError(f"{what}: {name!r} is not known; {hint}")
