"""The `sapave` command. Each subcommand imports what it needs when it is used."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sapave_ros import __version__, graph

# name: (module with add_arguments(parser) and run(args) -> int, one line of help)
_COMMANDS = {
    "demo": ("sapave_ros.demo.command", "the simulated G1 looks for what it is told; writes a video and a plot"),
    "up": ("sapave_ros.up", "start the graph, on the robot or with --sim, until Ctrl-C"),
    "record": ("sapave_ros.record", "the graph's streams into a bag, until Ctrl-C"),
    "replay": ("sapave_ros.replay", "a bag's streams as they came; nothing of it reaches an actuator"),
    "top": ("sapave_ros.top.command", "rates, ages, state, latencies and CPU of the running graph"),
    "monitor": ("sapave_ros.monitor.command", "what the robot does, was told and will do, for rviz; it only listens"),
    "watch": ("sapave_ros.watch.command", "the running graph, or a bag, in a browser on this computer"),
    "doctor": ("sapave_ros.doctor.command", "is everything in order, before a start or while the graph runs"),
    "data": ("sapave_ros.learning.pairs.command", "generate training data in the simulator, and its card"),
    "demonstrate": ("sapave_ros.manipulation.demonstrate", "an expert's episodes in simulation as a data set"),
    "train": ("sapave_ros.learning.train", "train one stage of the policy"),
    "export": ("sapave_ros.learning.export", "export the trained policy to ONNX with its manifest"),
    "eval": ("sapave_ros.offline.command", "score a policy on recordings, offline, against what was done"),
    "dataset": ("sapave_ros.dataset.command", "recordings of the robot as a data set in LeRobot's format"),
    "tables": ("sapave_ros.tables", "write the tables of README.md anew from graph.py"),
}
_BENCHES = {
    "perception": ("sapave_ros.bench.perception", "closed-loop success of looking where words say, on three splits"),
    "manipulation": ("sapave_ros.bench.manipulation", "closed-loop success of thirteen tasks of the hands"),
    "data": ("sapave_ros.bench.data", "how fast training data are made, as a share of raw rendering, and read"),
    "latency": ("sapave_ros.bench.latency", "rates, latencies and CPU of the real processes"),
    "record": ("sapave_ros.bench.recording", "what a recorder costs the graph, and whether all is in its bag"),
    "takeover": ("sapave_ros.bench.takeover", "how smooth it is when a person takes over by joystick"),
    "shadow": ("sapave_ros.bench.shadow", "what a graph in shadow mode sends to the actuators, counted by the robot"),
    "tick": ("sapave_ros.bench.tick", "cost of one 250 Hz tick, ours against plain SDK calls"),
    "train": ("sapave_ros.bench.train", "samples per second of training, and what of it the data cost"),
    "faults": ("sapave_ros.bench.faults", "breaks the running system and measures what the motors do"),
}
DISCOVERY_S = 10.0
"""How long to look for the graph. It takes a fraction of a second, and seconds on a busy machine."""

EPISODE_S = 40.0
"""How long an episode may take to end: longer than its recorder waits for a slow disk."""

# What may be missing where the package was installed without an extra.
_MISSING = (
    ({"transformers", "peft", "PIL"}, "; the backbone vlm needs more: pip install '.[train,vlm]'"),
    ({"rerun", "rerun_cli"}, "; watching in a browser needs pip install '.[watch]'"),
    ({"mcap"}, "; bags need pip install '.[bag]'"),
    ({"ray"}, "; work past one machine needs pip install '.[cluster]'"),
    (
        {"torch", "onnx", "onnxscript", "pyarrow", "tensorboard", "imageio_ffmpeg"},
        "; training and data sets need more: `make dev`, or pip install '.[train]' or '.[dataset]'",
    ),
    ({"tqdm", "matplotlib"}, "; progress and plots need pip install '.[eval]' (or '.[sim]' for the simulation)"),
    ({"mujoco", "cyclonedds", "imageio"}, "; the simulation needs pip install '.[sim]'"),
    ({"rclpy", "std_msgs", "std_srvs", "rosgraph_msgs"}, "; source a ROS 2 installation, or pip install '.[ros]'"),
)


def _say(args: argparse.Namespace) -> int:
    from sapave_ros.nodes.operator import session

    with session() as operator:
        operator.say(args.instruction, DISCOVERY_S)
    return 0


def _move(args: argparse.Namespace) -> int:
    from sapave_ros.nodes.operator import session

    increments = {}
    for item in args.joints:
        name, separator, value = item.partition(":=")
        try:
            increments[name] = float(value)
        except ValueError:
            separator = ""
        if not separator:
            raise ValueError(f"{item!r}; expected JOINT:=RAD, such as left_elbow_joint:=0.3")
    with session() as operator:
        duration_s = operator.move(increments, args.speed, DISCOVERY_S)
    print(f"sent: {', '.join(args.joints)} over {duration_s:.1f} s")
    return 0


def _arm(args: argparse.Namespace) -> int:
    from sapave_ros.nodes.operator import session

    with session() as operator:
        print(operator.arm())
    return 0


def _reset(args: argparse.Namespace) -> int:
    from sapave_ros.nodes.operator import session

    with session() as operator:
        operator.release_stop(DISCOVERY_S)
        print(operator.call(graph.RESET_SERVICE, DISCOVERY_S))
    return 0


def _call(service: str) -> Callable[[argparse.Namespace], int]:
    def run(args: argparse.Namespace) -> int:
        from sapave_ros.nodes.operator import session

        with session() as operator:
            print(operator.call(service, DISCOVERY_S))
        return 0

    return run


def _episode(args: argparse.Namespace) -> int:
    from sapave_ros.nodes.operator import session

    with session() as operator:
        print(operator.call(graph.EPISODE_SERVICES[args.word], EPISODE_S))
    return 0


def _home(args: argparse.Namespace) -> int:
    from sapave_ros.nodes.operator import session

    with session() as operator:
        for service in (graph.HEAD_HOME_SERVICE, graph.ARMS_HOME_SERVICE):
            print(f"{service}: {operator.call(service, DISCOVERY_S)}")
    return 0


def _stop(args: argparse.Namespace) -> int:
    from sapave_ros.nodes.operator import session

    with session() as operator:
        operator.stop_now(DISCOVERY_S)
    print(f"emergency stop sent; 'sapave reset' clears it ({graph.RESET_SERVICE})")
    return 0


def _import(module: str) -> Any:
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)  # libraries make anything of a KeyboardInterrupt
    try:
        return importlib.import_module(module)
    finally:
        signal.signal(signal.SIGINT, before)


def _mount(commands: Any, name: str, module: str, text: str) -> None:
    """A subcommand whose module is imported only when it is the one asked for."""
    parser = commands.add_parser(name, help=text, add_help=False)
    parser.set_defaults(module=module, name=parser.prog, description=text)


def main(argv: list[str] | None = None) -> int:
    """Entry point. Returns the exit code: 0 success, 1 failure or refusal, 2 wrong usage or set-up, 130 Ctrl-C."""
    try:
        return _main(argv)
    except KeyboardInterrupt:
        return 130


def _main(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="sapave", description="SaPaVe on a Unitree G1")
    parser.add_argument("--version", action="version", version=f"sapave_ros {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, text) in _COMMANDS.items():
        _mount(commands, name, module, text)
    bench = commands.add_parser("bench", help="benchmarks, each prints its figures")
    benches = bench.add_subparsers(dest="bench", required=True, metavar="BENCH")
    for name, (module, text) in _BENCHES.items():
        _mount(benches, name, module, text)
    say = commands.add_parser("say", help="tell the running graph what to do")
    say.add_argument("instruction", help="such as 'look at the red mug'; empty = nothing")
    say.set_defaults(run=_say)
    move = commands.add_parser("move", help="send one chunk of increments by hand; the graph must be ACTIVE")
    move.add_argument("joints", nargs="+", metavar="JOINT:=RAD", help="such as left_elbow_joint:=0.3")
    move.add_argument("--speed", type=float, default=0.4, help="of the joint that moves furthest [rad/s]")
    move.set_defaults(run=_move)
    for name, service, run in (
        ("arm", graph.ARM_SERVICE, _arm),
        ("disarm", graph.DISARM_SERVICE, _call(graph.DISARM_SERVICE)),
        ("reset", graph.RESET_SERVICE, _reset),
        ("rest", graph.ARMS_REST_SERVICE, _call(graph.ARMS_REST_SERVICE)),
    ):
        text = next(s.meaning for s in graph.SERVICES if s.name == service)
        commands.add_parser(name, help=text).set_defaults(run=run)
    episode = commands.add_parser("episode", help="begin or end an episode of `sapave record --episodes`")
    means = {s.name: s.meaning for s in graph.SERVICES}
    words = "; ".join(f"{word}: {means[service]}" for word, service in graph.EPISODE_SERVICES.items())
    episode.add_argument("word", choices=tuple(graph.EPISODE_SERVICES), help=words)
    episode.set_defaults(run=_episode)
    commands.add_parser("home", help="head straight ahead and arms ready to work, slowly").set_defaults(run=_home)
    commands.add_parser("stop", help="emergency stop of the running graph").set_defaults(run=_stop)

    args, rest = parser.parse_known_args(argv)
    try:
        if "module" in args:
            command = _import(args.module)
            inner = argparse.ArgumentParser(prog=args.name, description=args.description)
            command.add_arguments(inner)
            return int(command.run(inner.parse_args(rest)))
        if rest:
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        return int(args.run(args))
    except BrokenPipeError:  # `sapave ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ModuleNotFoundError as error:
        hint = next((text for names, text in _MISSING if (error.name or "").split(".")[0] in names), "")
        print(f"sapave: error: {error}{hint}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        print(f"sapave: error: {error}", file=sys.stderr)
        return 1
    except (ValueError, OSError, ImportError) as error:
        print(f"sapave: error: {error}", file=sys.stderr)
        return 2


def json_argument(parser: argparse.ArgumentParser) -> None:
    """`--json F`, the same for every command that measures."""
    parser.add_argument("--json", type=Path, metavar="F", help="also write all figures to this file")


if __name__ == "__main__":
    sys.exit(main())
