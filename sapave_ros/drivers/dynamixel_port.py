"""The serial port under the servo bus: the DynamixelSDK's port, opened exclusively, on a monotonic clock, and
waiting in the kernel instead of spinning."""

from __future__ import annotations

import contextlib
import glob
import os
import termios
import time
from collections.abc import Iterator, Sequence

import serial
from dynamixel_sdk import COMM_SUCCESS, PacketHandler, PortHandler

BAUD_RATES = (9600, 57600, 115200, 1_000_000, 2_000_000, 3_000_000, 4_000_000)
_READ_SLICE_S = 0.002
_BABBLE_MS = 50.0
_PING, _READ, _SYNC_READ = 0x01, 0x02, 0x82
_HARMLESS = frozenset((_PING, _READ, _SYNC_READ))
_INSTRUCTION_AT = 7
"""Byte of the instruction in a packet of protocol 2.0."""


class ServoBusError(RuntimeError):
    """The servo bus cannot be used. The message names the parameter, its value and what was expected."""


class ServoTimeout(ServoBusError):
    """A servo did not answer, or not intelligibly: this exchange gave nothing, the next one may."""


class ServoFault(ServoBusError):
    """A servo refuses, has failed, or has stopped by itself. Trying again does not help."""


class ReadOnlyError(RuntimeError):
    """A bus opened only to read was about to carry an instruction that changes something. It was not sent."""


class _Port(PortHandler):
    """`PortHandler` spins on a non-blocking port against the wall clock, and waits at least 34 ms for nothing."""

    is_open: bool

    def __init__(self, port_name: str, response_timeout_s: float, read_only: bool) -> None:
        super().__init__(port_name)
        self._read_only = read_only
        self._response_timeout_ms = response_timeout_s * 1e3

    def setupPort(self, cflag_baud: int) -> bool:
        if self.is_open:
            self.closePort()
        self.ser = serial.Serial(self.port_name, cflag_baud, timeout=_READ_SLICE_S, write_timeout=0.5, exclusive=True)
        # FTDI adapters hold received bytes back for 16 ms unless told otherwise; other ports do not know the call.
        with contextlib.suppress(OSError, ValueError):
            self.ser.set_low_latency_mode(True)
        self.is_open = True
        self.ser.reset_input_buffer()
        self.tx_time_per_byte = 10_000.0 / cflag_baud  # ms, ten bits a byte
        return True

    def getCurrentTime(self) -> float:
        return time.monotonic() * 1e3

    def setPacketTimeout(self, packet_length: int) -> None:
        self.setPacketTimeoutMillis(self.tx_time_per_byte * packet_length + self._response_timeout_ms)

    def writePort(self, packet: Sequence[int]) -> int:
        """Everything that leaves goes through here."""
        if self._read_only and packet[_INSTRUCTION_AT] not in _HARMLESS:
            raise ReadOnlyError(f"port: {self.port_name}: instruction 0x{packet[_INSTRUCTION_AT]:02x} in a shadow")
        sent: int = super().writePort(packet)
        return sent

    def readPort(self, length: int) -> bytes:
        if self.getTimeSinceStart() > self.packet_timeout + _BABBLE_MS:
            # The SDK looks at the time only when the line is quiet, so a babbling line would hold it forever.
            raise ServoTimeout(f"port: {self.port_name}: bytes without end, and no packet among them")
        return self.ser.read(length)


class SerialBus:
    """An open port. Raises ServoBusError naming `port` if there is none, or if someone else has it.

    read_only: nothing but pings and reads can leave it; whatever else is tried raises ReadOnlyError.
    """

    def __init__(self, port: str, baud_rate: int, response_timeout_s: float, read_only: bool = False) -> None:
        self.name, self._baud_rate = port, baud_rate
        self._port = _Port(port, response_timeout_s, read_only)
        self.unsettled = False
        if not os.path.exists(port):
            there = sorted(glob.glob("/dev/serial/by-id/*") or glob.glob("/dev/ttyUSB*") + glob.glob("/dev/ttyACM*"))
            raise ServoBusError(
                f"port: {port!r} does not exist; expected the serial device of the servo bus "
                f"(found: {', '.join(there) or 'none'})"
            )
        try:
            self._port.setBaudRate(baud_rate)
        except (OSError, termios.error, ValueError) as error:
            raise ServoBusError(_why_not_open(port, error)) from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[_Port]:
        """The port for one exchange; a port that has gone becomes a ServoBusError.

        After an exchange that ended in a ServoTimeout the bus is `unsettled`, until somebody finds it in order: the
        missing answer may come yet, and must not be taken for that to a later question.
        """
        if not self._port.is_open:
            raise ServoBusError(f"port: {self.name} is closed")
        try:
            yield self._port
        except ServoTimeout:
            self.unsettled = True
            raise
        except (OSError, termios.error, TypeError) as error:  # TypeError: pyserial, when the device vanishes in a read
            raise ServoBusError(f"port: {self.name}: the servo bus has gone: {error}") from error
        finally:
            self._port.is_using = False

    def diagnosis(self, missing: Sequence[int]) -> str:
        """Why these ids may not answer, for people: who else answers, and at which speed. Pings only."""
        packets = PacketHandler(2.0)
        line = f"ids: no answer from servo {', '.join(map(str, missing))} at {self.name}, {self._baud_rate} bit/s"
        with self.transaction() as port:
            present, _ = packets.broadcastPing(port)
        if present:
            return f"{line}; expected these ids, but found {sorted(present)}"
        for baud_rate in BAUD_RATES:
            with self.transaction() as port:
                port.setBaudRate(baud_rate)
                if any(packets.ping(port, i)[1] == COMM_SUCCESS for i in missing):
                    return f"baud_rate: {self._baud_rate}; expected {baud_rate}, where the servos answer"
        return (
            f"{line}, and none at another baud_rate; expected Dynamixel servos with protocol 2.0: check power and port"
        )

    def close(self) -> None:
        if self._port.is_open:
            self._port.closePort()


def _why_not_open(port: str, error: BaseException) -> str:
    text = str(error)
    if "exclusively lock" in text:
        return f"port: {port} is in use by another program; expected to have the servo bus alone"
    if isinstance(error, OSError) and error.errno == 13:
        return f"port: {port}: permission denied; expected read and write access (group dialout)"
    return f"port: {port} is not a usable serial device: {text}"
