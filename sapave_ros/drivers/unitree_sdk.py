"""Unitree's SDK, loaded with its pitfalls handled, and its channels as bytes in, bytes out.

The SDK's own publisher and subscriber are used for discovery, topics and QoS; only the conversion between
messages and bytes is bypassed, because it is what costs (see `unitree_cdr`). Imports nothing of this package, so that
it loads under the interpreter of the SDK, whichever that is (Python 3.8 or later).
"""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import time
import types
from typing import Any

log = logging.getLogger("unitree_sdk")

LOOPBACK = "lo"
ROBOT_CYCLONEDDS = ("0.10.2", "0.10.5")
"""The versions that speak with the robot. A 0.10.x peer of 11.x crashes, so nothing else goes on its network."""

MAX_DOMAIN = 232
"""The highest DDS domain id: its UDP ports begin at 7400 + 250 * id and have to stay below 65536."""


class UnitreeError(RuntimeError):
    """Something about the SDK, the network or the robot is not as it must be; the text says what was expected."""


def check_network(domain_id: int, interface: str) -> None:
    """Raises UnitreeError naming the field, its value and what was expected."""
    if isinstance(domain_id, bool) or not isinstance(domain_id, int) or not 0 <= domain_id <= MAX_DOMAIN:
        raise UnitreeError(
            f"dds_domain {domain_id!r}: expected an integer from 0 to {MAX_DOMAIN} "
            "(0 is the robot; UDP ports start at 7400 + 250 * domain)"
        )
    names = [name for _, name in socket.if_nameindex()]
    if interface not in names:
        raise UnitreeError(f"dds_interface {interface!r}: no such network interface; there are {', '.join(names)}")


def check_cyclonedds(version: str, interface: str) -> None:
    """Raises UnitreeError when this cyclonedds must not be let onto that interface."""
    if interface != LOOPBACK and version not in ROBOT_CYCLONEDDS:
        raise UnitreeError(
            f"cyclonedds {version} on dds_interface {interface!r}: expected {' or '.join(ROBOT_CYCLONEDDS)} on a "
            f"robot's network (0.10.x and 11.x do not interoperate and crash each other); any version may use "
            f"{LOOPBACK!r} with the simulated robot"
        )


def load() -> types.ModuleType:
    """The package unitree_sdk2py, importable in either of its forms; UnitreeError if it is missing.

    The wheel on PyPI lacks the subpackage `b2`, which its own `__init__` imports; nothing here needs b2, so an
    empty module stands in for it where it is absent.
    """
    try:
        import unitree_sdk2py
    except ModuleNotFoundError as error:
        if error.name == "unitree_sdk2py":
            raise UnitreeError(
                f"unitree_sdk2py is not installed for {sys.executable}; on a robot: pip install "
                "git+https://github.com/unitreerobotics/unitree_sdk2_python, or name an interpreter that has it "
                "in sdk_python"
            ) from error
        if error.name not in ("cyclonedds", "unitree_sdk2py.b2"):
            raise UnitreeError(f"unitree_sdk2py does not load in {sys.executable}: {error}") from error
        if error.name == "cyclonedds":
            raise UnitreeError(
                f"cyclonedds is not installed for {sys.executable}; expected {ROBOT_CYCLONEDDS[0]}"
            ) from error
    except ImportError as error:
        if "b2" not in str(error):
            raise UnitreeError(f"unitree_sdk2py does not load in {sys.executable}: {error}") from error
    else:
        return unitree_sdk2py
    sys.modules.setdefault("unitree_sdk2py.b2", types.ModuleType("unitree_sdk2py.b2"))
    import unitree_sdk2py

    return unitree_sdk2py


def open_domain(domain_id: int, interface: str) -> None:
    """Join a DDS domain with this process; once per process. Raises UnitreeError."""
    check_network(domain_id, interface)
    load()
    from importlib.metadata import version

    check_cyclonedds(version("cyclonedds"), interface)
    from unitree_sdk2py.core.channel import ChannelFactoryInitialize

    try:
        ChannelFactoryInitialize(domain_id, interface)
    except Exception as error:  # the SDK raises the bare class
        raise UnitreeError(
            f"DDS domain {domain_id} on {interface!r} could not be opened ({error}); a process joins it once, and not "
            "beside another user of CycloneDDS on the same domain"
        ) from error


def _inner(channel: Any, side: str) -> Any:
    """The cyclonedds entity inside an SDK channel; AttributeError with other SDK versions."""
    owner = "ChannelPublisher" if side == "writer" else "ChannelSubscriber"
    wrapper = getattr(getattr(channel, f"_{owner}__channel"), f"_Channel__{side}")
    for mangled in (f"_{side.title()}__{side}", f"_Channel__{side.title()}__{side}"):
        if hasattr(wrapper, mangled):
            return getattr(wrapper, mangled)
    raise AttributeError(f"no {side} in {type(wrapper).__name__}")


def _participant(domain_id: int) -> Any:
    """A participant of our own beside the SDK's, for what the SDK's channels cannot do; `open_domain` comes first."""
    from cyclonedds.domain import DomainParticipant

    return DomainParticipant(domain_id)


class Publisher:
    """Writes messages of one topic that are already in wire form. raw: False where the SDK's own path is used."""

    def __init__(self, topic: str, idl_type: Any) -> None:
        from unitree_sdk2py.core.channel import ChannelPublisher

        self._type = idl_type
        self._channel = ChannelPublisher(topic, idl_type)
        self._channel.Init()
        try:
            from cyclonedds._clayer import ddspy_write

            self._write, self._ref = ddspy_write, _inner(self._channel, "writer")._ref
            self.raw = True
        except (ImportError, AttributeError) as error:
            self.raw = False
            log.warning("%s: messages go through the SDK's own encoder, which is slower (%s)", topic, error)

    def write(self, data: bytes) -> None:
        """Send one message; UnitreeError if DDS refuses it."""
        if self.raw:
            code = self._write(self._ref, data)
            if code < 0:
                raise UnitreeError(f"DDS write failed with code {code}")
        elif not self._channel.Write(self._type.deserialize(data)):
            raise UnitreeError("DDS write failed")


class LatePublisher:
    """A publisher that nobody can discover before `open`, which takes a millisecond: the SDK's own takes 0.2 s."""

    def __init__(self, domain_id: int, topic: str, idl_type: Any) -> None:
        from cyclonedds.topic import Topic

        self._type = idl_type
        self._participant = _participant(domain_id)
        self._topic = Topic(self._participant, topic, idl_type)
        self._writer: Any = None
        self._write: Any = None
        with contextlib.suppress(ImportError):
            from cyclonedds._clayer import ddspy_write

            self._write = ddspy_write

    def open(self) -> None:
        """From now on there is a writer."""
        from cyclonedds.pub import DataWriter

        self._writer = DataWriter(self._participant, self._topic)

    def write(self, data: bytes) -> None:
        """Send one message in wire form; UnitreeError if DDS refuses it."""
        if self._write is None:
            self._writer.write(self._type.deserialize(data))
            return
        code = self._write(self._writer._ref, data)
        if code < 0:
            raise UnitreeError(f"DDS write failed with code {code}")


class ForeignReader:
    """Hears what other processes write on a topic; nothing of ours reaches it, so listening costs nothing.

    publishers: how many of others there are now, whether they write or not.
    """

    DEPTH = 64

    def __init__(self, domain_id: int, topic: str, idl_type: Any) -> None:
        from cyclonedds.core import InstanceState, Listener, SampleState, ViewState
        from cyclonedds.qos import Policy, Qos
        from cyclonedds.sub import DataReader
        from cyclonedds.topic import Topic

        self.publishers = 0
        qos = Qos(Policy.IgnoreLocal.Process, Policy.History.KeepLast(self.DEPTH))
        self._participant = _participant(domain_id)
        self._topic = Topic(self._participant, topic, idl_type)
        self._listener = Listener(on_subscription_matched=self._matched)
        self._reader = DataReader(self._participant, self._topic, qos, self._listener)
        any_state = int(SampleState.Any) | int(ViewState.Any) | int(InstanceState.Any)
        self._mask: tuple[int, ...] = (any_state,)
        self._take: Any = None
        with contextlib.suppress(ImportError):
            from cyclonedds._clayer import ddspy_take

            self._take = ddspy_take
            try:
                self._take(self._reader._ref, *self._mask, 1)
            except TypeError:  # cyclonedds 0.10 takes no mask
                self._mask = ()

    def _matched(self, _reader: Any, status: Any) -> None:
        self.publishers = status.current_count

    def take(self) -> list[int]:
        """The writer of each message since the last call, as a number; of at most DEPTH messages. Never blocks."""
        if self._take is None:
            return [s.sample_info.publication_handle for s in self._reader.take(self.DEPTH)]
        samples = self._take(self._reader._ref, *self._mask, self.DEPTH)
        if isinstance(samples, int):
            raise UnitreeError(f"DDS take failed with code {samples}")
        return [info.publication_handle for _, info in samples if info.valid_data]


class Subscriber:
    """Takes messages of one topic in wire form. Keeps the newest one only. raw: see `Publisher`."""

    def __init__(self, topic: str, idl_type: Any) -> None:
        from unitree_sdk2py.core.channel import ChannelSubscriber

        self._channel = ChannelSubscriber(topic, idl_type)
        self._decoded: Any = None  # newest message of the SDK's own path
        try:
            self._channel.Init()
            self._open_raw()
            self.raw = True
        except (ImportError, AttributeError, TypeError) as error:
            self.raw = False
            self._channel = ChannelSubscriber(topic, idl_type)
            self._channel.Init(self._keep)
            log.warning("%s: messages go through the SDK's own decoder, which is slower (%s)", topic, error)

    def _open_raw(self) -> None:
        from cyclonedds._clayer import ddspy_take
        from cyclonedds.core import InstanceState, ReadCondition, SampleState, ViewState, WaitSet

        reader = _inner(self._channel, "reader")
        self._take, self._ref = ddspy_take, reader._ref
        any_state = int(SampleState.Any) | int(ViewState.Any) | int(InstanceState.Any)
        self._mask: tuple[int, ...] = (any_state,)
        try:
            self._take(self._ref, *self._mask, 1)
        except TypeError:  # cyclonedds 0.10 takes no mask
            self._mask = ()
            self._take(self._ref, 1)
        self._condition = ReadCondition(reader, SampleState.NotRead | ViewState.Any | InstanceState.Any)
        self._waitset = WaitSet(reader.participant)  # holds no reference to its conditions
        self._waitset.attach(self._condition)

    def _keep(self, message: Any) -> None:
        self._decoded = message

    def take(self) -> bytes | None:
        """The newest message not taken yet, None if there is none. Never blocks. Raises UnitreeError."""
        if not self.raw:
            message, self._decoded = self._decoded, None
            return None if message is None else message.serialize(use_version_2=False)
        samples = self._take(self._ref, *self._mask, 1)
        if isinstance(samples, int):
            raise UnitreeError(f"DDS take failed with code {samples}")
        for data, info in samples:
            if info.valid_data:
                return data
        return None

    def wait(self, timeout_s: float) -> None:
        """Return when a message is there, or after the time [s]. Does not hold the interpreter while waiting."""
        if self.raw:
            self._waitset.wait(int(timeout_s * 1e9))
        elif self._decoded is None:
            time.sleep(min(timeout_s, 0.001))
