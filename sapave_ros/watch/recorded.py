"""A bag onto the screen, up to where it is damaged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from sapave_ros import graph
from sapave_ros.bag.reader import Bag
from sapave_ros.bag.replayed import replayed_sources
from sapave_ros.nodes import hearing, ros
from sapave_ros.nodes.replay import decompressed
from sapave_ros.watch.feed import Feed


def play(bag: Bag, feed: Feed, stop: Callable[[], bool] = lambda: False) -> list[str]:
    """All of it, as fast as it can be read; returns what of it could not be, which also ends the log that is shown.

    stop: asked before every message. Raises BagError where the bag has nothing of the graph, or other types.
    """
    sources = {s.recorded: s for s in replayed_sources(bag)}
    pictures = {graph.GROUNDING, *hearing.PICTURES}
    heard = [name for name, s in sources.items() if s.stream.topic in {*hearing.SMALL, *pictures}]
    malformed: Counter[str] = Counter()
    now_s = 0.0
    for message in bag.messages(heard):
        if stop():
            break
        source, now_s = sources[message.topic], message.stamp_ns * 1e-9
        topic = source.stream.topic
        try:
            if topic in pictures:
                feed.picture(topic, decompressed(message.data) if source.compressed else message.data, now_s, now_s)
            else:
                feed.message(topic, ros.deserialized(source.stream, message.data), now_s, now_s)
        except ValueError:
            malformed[message.topic] += 1
        feed.show(now_s, now_s)
    wrong = [f"damaged: {line}" for line in bag.damage]
    wrong += [f"{topic}: {count} messages are malformed, and passed over" for topic, count in malformed.items()]
    for line in wrong:
        feed.note(line, now_s)
    return wrong
