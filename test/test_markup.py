"""Static HTML: whatever a text says, it is read back as that text, and opens no element."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros.bench.markup import el, listed, page, row, table

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1).filter(
    lambda t: t == t.strip()
)
SHARP = st.sampled_from(['<script>alert("x")</script>', "a & b", "</table>", "&lt;", "'\"", "<!--", "a < b > c"])


class Reader(HTMLParser):
    """Elements, attributes and texts of a document, as a browser has them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.texts.append(data)


@settings(deadline=None)
@given(st.one_of(TEXTS, SHARP), st.one_of(TEXTS, SHARP))
def test_texts_are_read_back_as_they_were_written(text, other):
    document = Reader(
        page(
            "title",
            "",
            el("p", text, el("b", other), text),
            listed([(text, other)]),
            table(text, [other], [(text, [other, el("td", text)], "")]),
            el("img", src="a.png", alt=text),
        )
    )
    read = "".join(document.texts)
    assert read.count(text) >= 5 and other in read
    assert ("alt", text) in document.attributes
    assert {"script", "style"} & set(document.tags) == {"style"}
    assert document.tags.count("table") == document.tags.count("img") == 1


def test_the_same_tree_gives_the_same_text():
    def once() -> str:
        return page("title", "p {}", el("p", "a", class_="b"), table("", ["c"], [row_of()]))

    def row_of():
        return ("d", ["e"], "f")

    assert once() == once()
    assert 'class="b"' in once() and "<caption" not in once()


def test_a_row_has_a_class_where_it_is_given_one():
    assert row(("a", [], "")).attrib == {}
    assert row(("a", ["1"], "main")).attrib == {"class": "main"}
