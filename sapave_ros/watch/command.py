"""`sapave watch [BAG]`: the running graph, or a bag, in a browser, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sapave_ros.transport import RECORD, own_transport

if TYPE_CHECKING:  # they need libraries that `--help` does without
    from sapave_ros.bag.reader import Bag
    from sapave_ros.watch.feed import Feed
    from sapave_ros.watch.screen import Screen
    from sapave_ros.watch.viewer import Viewer

PORT = 9090
MEMORY_MB = 512


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `sapave watch`."""
    parser.add_argument("bag", nargs="?", type=Path, metavar="BAG", help="its folder, or one MCAP file (default: live)")
    parser.add_argument(
        "--port", type=int, default=PORT, help="of the page; the one above it is taken too (default: %(default)s)"
    )
    parser.add_argument(
        "--memory",
        type=int,
        default=MEMORY_MB,
        metavar="MB",
        help="the oldest beyond it is dropped (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Exit code 0: ended by Ctrl-C; 1: the server ended, or a port is taken; 2: could not begin."""
    import rerun as rr

    from sapave_ros.bag.reader import Bag
    from sapave_ros.monitor.scene import Scene
    from sapave_ros.watch.feed import Feed
    from sapave_ros.watch.layout import layout
    from sapave_ros.watch.screen import Screen
    from sapave_ros.watch.viewer import Viewer

    bag = None
    if args.bag is not None:
        print(f"reading {args.bag} ...", flush=True)
        bag = Bag(args.bag)
    with Viewer(args.port, args.memory) as viewer:
        recording = rr.RecordingStream("sapave_watch")
        recording.connect_grpc(viewer.address, default_blueprint=layout())
        scene = Scene()
        screen = Screen(recording, scene.kinematics)
        feed = Feed(scene, screen)
        print(f"open {viewer.page}", flush=True)
        try:
            return _live(feed, viewer) if bag is None else _recorded(bag, feed, screen, viewer)
        finally:
            recording.disconnect()


def _live(feed: Feed, viewer: Viewer) -> int:
    # No shared memory with the camera: who looks on must not hold it up.
    os.environ |= own_transport(RECORD)
    from sapave_ros.nodes import ros
    from sapave_ros.watch.live import WatchNode

    return ros.run("watch", lambda: WatchNode(feed, viewer.failure), argv=[])


def _recorded(bag: Bag, feed: Feed, screen: Screen, viewer: Viewer) -> int:
    from sapave_ros.bringup import install_stop_handler
    from sapave_ros.watch.recorded import play
    from sapave_ros.watch.viewer import ViewerError

    stop = install_stop_handler()
    for line in play(bag, feed, lambda: stop.is_set() or viewer.failure() is not None):
        print(line, file=sys.stderr, flush=True)
    if not stop.is_set() and viewer.failure() is None:
        screen.close()
        print("all that can be read is shown; Ctrl-C ends it", flush=True)
    while not stop.wait(0.5):
        if why := viewer.failure():
            raise ViewerError(why)
    return 0
