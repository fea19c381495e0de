"""Static HTML as a tree of elements: texts are escaped by whoever writes the tree, so none can be forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

Node = Element | str

Fact = tuple[str, Node]
"""A name and what it means."""

Row = tuple[str, Sequence[Node], str]
"""Of a table: its name, its cells (a `td` or what is in one), and its class or an empty text."""


def page(title: str, style: str, *content: Node) -> str:
    """A whole document."""
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", title),
        el("style", style),
    )
    tree = el("html", head, el("body", el("h1", title), *content), lang="en")
    ElementTree.indent(tree, space="")
    return "<!DOCTYPE html>\n" + ElementTree.tostring(tree, encoding="unicode", method="html") + "\n"


def el(tag: str, *children: Node, **attributes: str) -> Element:
    """An element with texts and elements in it; `class_` is the attribute class."""
    node = Element(tag, {name.rstrip("_"): value for name, value in attributes.items()})
    for child in children:
        if isinstance(child, Element):
            node.append(child)
        elif len(node):
            node[-1].tail = (node[-1].tail or "") + child
        else:
            node.text = (node.text or "") + child
    return node


def table(caption: str, columns: Sequence[str], rows: Iterable[Row]) -> Element:
    """A table with a first column of names."""
    head = el("thead", el("tr", el("td"), *(el("th", c, scope="col") for c in columns)))
    body = el("tbody", *map(row, rows))
    return el("table", *([el("caption", caption)] if caption else []), head, body)


def listed(facts: Iterable[Fact]) -> Element:
    """A list of names and what they mean."""
    return el("dl", *(node for name, what in facts for node in (el("dt", name), el("dd", what))))


def row(of: Row) -> Element:
    """A row of a table."""
    name, cells, style = of
    nodes = [c if isinstance(c, Element) else el("td", c) for c in cells]
    return el("tr", el("th", name, scope="row"), *nodes, **({"class_": style} if style else {}))
