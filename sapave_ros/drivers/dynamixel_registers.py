"""The registers of the servos on a bus, one exchange at a time, each checked."""

from __future__ import annotations

from collections.abc import Sequence

from dynamixel_sdk import COMM_RX_TIMEOUT, COMM_SUCCESS, PacketHandler, PortHandler

from sapave_ros.drivers import dynamixel_table as table
from sapave_ros.drivers.dynamixel_port import SerialBus, ServoBusError, ServoFault, ServoTimeout

_ID, _LENGTH, _ERROR, _DATA = 4, 5, 8, 9
"""Where these stand in a status packet of Protocol 2.0."""

_SIZES = range(20, 60)
"""Of the questions that settle the bus [bytes]: none that is asked otherwise, and each only once in a while."""


class Registers:
    """Reads and writes. ids: who takes part in the exchanges with all. alerts: by id, whether the last answer to one of
    these told of a hardware error.

    An answer does not say what it answers: on a slow line, one to a question that was given up comes in time for the
    next one, and tells where the joint was. So after a timeout comes a question whose answer has a size of its own.
    Answers keep their order: once that one is there, no older one is under way; while it is not, nothing is believed.

    Raises ServoTimeout where no whole answer comes, ServoFault where a servo refuses, ServoBusError without a bus.
    """

    def __init__(self, bus: SerialBus, ids: Sequence[int], response_timeout_s: float) -> None:
        self.alerts = dict.fromkeys(ids, False)
        self._bus, self._ids, self._timeout_ms = bus, list(ids), response_timeout_s * 1e3
        self._packets = PacketHandler(2.0)
        self._size = 0

    def _settle(self) -> None:
        """Nothing, where all earlier answers are in; ServoTimeout where they are not."""
        if not self._bus.unsettled:
            return
        servo_id, size = self._ids[0], _SIZES[self._size]
        self._size = (self._size + 1) % len(_SIZES)
        with self._bus.transaction() as port:
            data, error = b"", 0
            result = self._packets.readTx(port, servo_id, 0, size)
            if result == COMM_SUCCESS:
                data, result, error = self._answer(port, servo_id, size)
            self._check(servo_id, 0, result, error)
            self._check_size(servo_id, 0, len(data), size)
        self._bus.unsettled = False

    def ping(self, servo_id: int) -> int | None:
        """Its model number, None if it does not answer."""
        with self._bus.transaction() as port:
            model, result, _ = self._packets.ping(port, servo_id)
        return int(model) if result == COMM_SUCCESS else None

    def read(self, servo_id: int, address: int, size: int) -> int:
        """A register of that size [bytes], unsigned."""
        return int.from_bytes(self.block(servo_id, address, size), "little")

    def block(self, servo_id: int, address: int, size: int) -> bytes:
        """`size` bytes from `address` on."""
        self._settle()
        with self._bus.transaction() as port:
            data, error = b"", 0
            result = self._packets.readTx(port, servo_id, address, size)
            if result == COMM_SUCCESS:
                data, result, error = self._answer(port, servo_id, size)
            self._check(servo_id, address, result, error)
            self._check_size(servo_id, address, len(data), size)
        return data

    def write(self, servo_id: int, address: int, size: int, value: int) -> None:
        """Set a register, and hear that it was."""
        self._settle()
        with self._bus.transaction() as port:
            data = list(value.to_bytes(size, "little"))
            result, error = self._packets.writeTxRx(port, servo_id, address, size, data)
            self._check(servo_id, address, result, error)

    def reboot(self, servo_id: int) -> None:
        """Start a servo anew."""
        self._settle()
        with self._bus.transaction() as port:
            result, error = self._packets.reboot(port, servo_id)
            self._check(servo_id, 0, result, error)

    def read_all(self, address: int, size: int) -> list[bytes]:
        """`size` bytes from each servo, in order of ids.

        A plain sync read, packet by packet: the SDK's group reader drops the error bytes, and its fast sync read
        does not undo byte stuffing, so a current of -1 beside a velocity of -3 would shift all that follows.
        """
        rows = []
        self._settle()
        with self._bus.transaction() as port:
            result = self._packets.syncReadTx(port, address, size, self._ids, len(self._ids), False)
            for servo_id in self._ids:
                data, error = b"", 0
                if result == COMM_SUCCESS:
                    data, result, error = self._answer(port, servo_id, size)
                self._check(servo_id, address, result, error)
                self._check_size(servo_id, address, len(data), size)
                self.alerts[servo_id] = bool(error & table.ALERT)
                rows.append(data)
            if port.getBytesAvailable():
                raise ServoTimeout(f"port: {self._bus.name}: more answers than asked for; these may be late ones")
        return rows

    def write_all(self, address: int, size: int, values: dict[int, int]) -> None:
        """Set a register of every servo, by id. There is no answer."""
        data = b"".join(bytes([i]) + value.to_bytes(size, "little") for i, value in values.items())
        with self._bus.transaction() as port:
            result = self._packets.syncWriteTxOnly(port, address, size, list(data), len(data))
        if result != COMM_SUCCESS:
            said = self._packets.getTxRxResult(result)
            raise ServoBusError(f"port: {self._bus.name}: register {address} could not be sent: {said}")

    def _answer(self, port: PortHandler, servo_id: int, size: int) -> tuple[bytes, int, int]:
        """The answer of a servo to a read of `size` bytes: data, result, error.

        One of another size answers a question that was given up, and came late; the SDK's own reader takes the
        beginning of it for a register that it is not.
        """
        while True:
            packet, result = self._packets.rxPacket(port, False)
            if result != COMM_SUCCESS:
                return b"", result, 0
            length = packet[_LENGTH] | packet[_LENGTH + 1] << 8  # from the instruction to the check
            data, error = bytes(packet[_DATA : _LENGTH + 2 + length - 2]), packet[_ERROR]
            if packet[_ID] == servo_id and (len(data) == size or error & ~table.ALERT):
                return data, result, error

    def _check(self, servo_id: int, address: int, result: int, error: int) -> None:
        if result == COMM_RX_TIMEOUT:
            raise ServoTimeout(f"servo {servo_id}: no answer within {self._timeout_ms:.0f} ms (register {address})")
        if result != COMM_SUCCESS:
            raise ServoTimeout(f"servo {servo_id}: {self._packets.getTxRxResult(result)} (register {address})")
        if error & ~table.ALERT:
            reason = self._packets.getRxPacketError(error & ~table.ALERT)
            raise ServoFault(f"servo {servo_id} refuses register {address}: {reason}")

    @staticmethod
    def _check_size(servo_id: int, address: int, got: int, size: int) -> None:
        if got != size:
            raise ServoTimeout(f"servo {servo_id}: {got} bytes from register {address}; expected {size}")
