"""Breaking the stand-in robot: which faults there are, and how to ask for them from another process.

A robot started with `sapave_sim --faults` listens on two datagram sockets in its run directory, `faults` (motors,
controller, buses) and `faults_camera`. One that is started without takes no such orders. A request is
{"fault": NAME, "arguments": {...}}, with NAME "clear" to end all faults; the answer is {"time_s": ...} once it is in
force, or {"error": ...}. Faults add up.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sapave_ros import g1
from sapave_ros.graph import CAMERA_HZ
from sapave_ros.sim import remote

CLEAR = "clear"
SOCKETS = {"robot": "faults", "camera": "faults_camera"}
"""Part of the robot to the name of its socket in the run directory."""

_REQUIRED = object()
_MAX_BYTES = 4096


class FaultError(RuntimeError):
    """A fault that cannot be asked for. The message names it, what was given, and what was expected."""


@dataclass(frozen=True)
class Argument:
    """One argument of a fault. expected: in words, with the unit. ok: whether a value is one. default: without
    one it must be given."""

    name: str
    expected: str
    ok: Callable[[Any], bool]
    default: Any = _REQUIRED

    @property
    def required(self) -> bool:
        return self.default is _REQUIRED


@dataclass(frozen=True)
class Fault:
    """One way in which the robot can break. part: key of `SOCKETS`."""

    name: str
    part: str
    meaning: str
    arguments: tuple[Argument, ...] = ()


def _number(name: str, low: float, high: float, unit: str, default: Any = _REQUIRED) -> Argument:
    def ok(value: Any) -> bool:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and math.isfinite(value) and low <= value <= high

    return Argument(name, f"a number in {low:g}..{high:g} {unit}".rstrip(), ok, default)


def _bits(name: str, width: int, default: Any = _REQUIRED) -> Argument:
    def ok(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << width

    return Argument(name, f"an integer in 1..{(1 << width) - 1:#x}", ok, default)


def _one_of(name: str, values: tuple[str, ...], default: Any = _REQUIRED) -> Argument:
    return Argument(name, f"one of {', '.join(values)}", lambda value: value in values, default)


def _buttons(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(b in remote.BUTTONS for b in value)


_MOTOR = _one_of("joint", g1.MOTOR_NAMES)
_SERVO = _one_of("joint", (*g1.HEAD.names, "both"), "both")
_STICKS = tuple(_number(axis, -1.0, 1.0, "", 0.0) for axis in ("lx", "ly", "rx", "ry", "l2"))

FAULTS: tuple[Fault, ...] = (
    Fault("camera_frozen", "camera", "the same picture again and again, to the pixel, with new stamps"),
    Fault("camera_silent", "camera", "no frames"),
    Fault("camera_black", "camera", "every colour pixel is black; depth goes on"),
    Fault("camera_no_depth", "camera", "every depth pixel is 0 = no depth; colour goes on"),
    Fault("camera_slow", "camera", "frames at another rate", (_number("rate_hz", 0.1, CAMERA_HZ, "Hz"),)),
    Fault("camera_stamp_jump", "camera", "added to every stamp", (_number("seconds", -3600.0, 3600.0, "s"),)),
    Fault("motor_temperature", "robot", "what a body motor reports of its heat",
          (_MOTOR, _number("casing", -40, 200, "deg C"), _number("winding", -40, 200, "deg C"))),
    Fault("motor_error", "robot", "error bits that a body motor reports; it works on", (_MOTOR, _bits("bits", 32))),
    Fault("motor_lost", "robot", "a body motor reports mode 0 and gives no torque", (_MOTOR,)),
    Fault("motor_torque", "robot", "what a body motor reports of its torque",
          (_MOTOR, _number("newton_metres", -200, 200, "N m"))),
    Fault("motor_voltage", "robot", "what all body motors report of their supply", (_number("volts", 0, 100, "V"),)),
    Fault("variant", "robot", "the robot says to be another: 4 has 23 joints, 5 has 29",
          (_number("mode_machine", 0, 255, ""),)),
    Fault("tilt", "robot", "the IMU reports the pelvis turned; nothing turns",
          (_number("rad", -math.pi, math.pi, "rad"), _one_of("axis", ("roll", "pitch"), "pitch"))),
    Fault("arms_dropped", "robot", "the robot's own controller ignores arm_sdk and only damps the arms (L2+B)"),
    Fault("remote", "robot", "the remote control is on, with these buttons held and the sticks there",
          (Argument("buttons", f"a list among {', '.join(remote.BUTTONS)}", _buttons, ()), *_STICKS)),
    Fault("state_frozen", "robot", "the last LowState again and again, tick and all"),
    Fault("state_silent", "robot", "no LowState"),
    Fault("state_corrupt", "robot", "every LowState with a wrong frame check"),
    Fault("hands_silent", "robot", "no state of the hands"),
    Fault("link_down", "robot", "nothing goes out on DDS, and what comes is not heard"),
    Fault("servo_silent", "robot", "a neck servo hears and answers nothing, and holds on", (_SERVO,)),
    Fault("servo_garbage", "robot", "every answer on the servo bus is noise"),
    Fault("servo_error", "robot", "hardware error bits of a neck servo; those in its shutdown mask (53) end its torque",
          (_SERVO, _bits("bits", 6, 32))),
    Fault("servo_temperature", "robot", "what a neck servo reports of its heat",
          (_SERVO, _number("celsius", 0, 200, "deg C"))),
    Fault("servo_rebooted", "robot", "a neck servo starts anew: no torque, goals and limits in RAM lost; not undone "
          "by the end of faults", (_SERVO,)),
    Fault("servo_delay", "robot", "answers on the servo bus come later", (_number("seconds", 0.0, 5.0, "s"),)),
)  # fmt: skip


def find(name: str) -> Fault:
    """The fault of that name. Raises FaultError that lists the names."""
    for fault in FAULTS:
        if fault.name == name:
            return fault
    raise FaultError(f"fault {name!r}: unknown; expected one of {', '.join(f.name for f in FAULTS)}")


def checked(fault: Fault, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments of that fault, defaults filled in. Raises FaultError on an unknown, missing or bad one."""
    known = {a.name: a for a in fault.arguments}
    for name in arguments:
        if name not in known:
            raise FaultError(f"fault {fault.name}: no argument {name!r}; expected {', '.join(known) or 'none'}")
    values = {}
    for name, argument in known.items():
        if name not in arguments and argument.required:
            raise FaultError(f"fault {fault.name}: argument {name} is missing; expected {argument.expected}")
        values[name] = arguments.get(name, argument.default)
        if name in arguments and not argument.ok(values[name]):
            raise FaultError(f"fault {fault.name}: {name} {values[name]!r}; expected {argument.expected}")
    return values


class Breakable(Protocol):
    """A part of the robot: a method per fault, named and with arguments as in `FAULTS`, and this one."""

    def heal(self) -> None:
        """Ends all faults."""


class FaultSocket:
    """Takes orders for one part of the robot. `serve` never blocks; the faults set in within it.

    Raises FileExistsError where something else has the name; a socket that a killed robot left is replaced.
    """

    def __init__(self, run_dir: Path, part: str, breakable: Breakable) -> None:
        self._path, self._part, self._breakable = run_dir / SOCKETS[part], part, breakable
        if self._path.exists():
            if not stat.S_ISSOCK(self._path.stat().st_mode):
                raise FileExistsError(f"{self._path} exists and is not a socket; expected a free name")
            self._path.unlink()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        with _address(self._path) as address:
            self._socket.bind(address)
        self._path.chmod(0o600)

    def serve(self, now_s: float) -> None:
        """Carries out what was asked since the last call. now_s: monotonic clock [s], told to who asked."""
        while True:
            try:
                data, sender = self._socket.recvfrom(_MAX_BYTES)
            except BlockingIOError:
                return
            try:
                self._obey(data)
                answer: dict[str, Any] = {"time_s": now_s}
            except FaultError as error:
                answer = {"error": str(error)}
            with contextlib.suppress(OSError):  # who asked is gone
                self._socket.sendto(json.dumps(answer).encode(), sender)

    def close(self) -> None:
        """Removes the socket."""
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _obey(self, data: bytes) -> None:
        try:
            request = json.loads(data)
            name, arguments = str(request["fault"]), dict(request["arguments"])
        except (ValueError, KeyError, TypeError):
            raise FaultError(
                f'fault request {data[:80]!r}; expected {{"fault": NAME, "arguments": {{...}}}} as JSON'
            ) from None
        if name == CLEAR and not arguments:
            self._breakable.heal()
            return
        fault = find(name)
        if fault.part != self._part:
            raise FaultError(f"fault {name}: of the {fault.part}, asked of the {self._part}")
        getattr(self._breakable, name)(**checked(fault, arguments))


class FaultClient:
    """Breaks a simulated robot that was started with `--faults` in run_dir. Raises FaultError where that fails."""

    def __init__(self, run_dir: str | Path, timeout_s: float = 5.0) -> None:
        self._run_dir, self._timeout_s = Path(run_dir), timeout_s

    def inject(self, name: str, **arguments: Any) -> float:
        """Breaks something, from now on. Returns when it set in [s, monotonic clock, as `motors.Motors.time_s`]."""
        fault = find(name)
        return self._ask(fault.part, name, checked(fault, arguments))

    def clear(self) -> float:
        """Ends all faults. Returns when the last one ended [s, monotonic clock].

        A servo that lost its torque to a hardware error comes back as after a power cycle: alive, without torque.
        """
        return max(self._ask(part, CLEAR, {}) for part in SOCKETS)

    def _ask(self, part: str, name: str, arguments: Mapping[str, Any]) -> float:
        path = self._run_dir / SOCKETS[part]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
            asking.settimeout(self._timeout_s)
            asking.bind("")  # an address of its own, without a file
            try:
                with _address(path) as address:
                    asking.connect(address)
                asking.send(json.dumps({"fault": name, "arguments": dict(arguments)}).encode())
                answer = json.loads(asking.recv(_MAX_BYTES))
            except TimeoutError:
                raise FaultError(f"{path}: no answer in {self._timeout_s:g} s; does the robot stand still?") from None
            except OSError as error:
                raise FaultError(f"{path}: {error.strerror}; is a `sapave_sim --faults` running there?") from None
        if "error" in answer:
            raise FaultError(answer["error"])
        return float(answer["time_s"])


@contextlib.contextmanager
def _address(path: Path) -> Iterator[str]:
    """An address for a socket file, also where its path is longer than the 108 bytes that an address may have."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
