"""Servos on one half-duplex Dynamixel line: bytes and time in, bytes out."""

from __future__ import annotations

from collections.abc import Sequence

from sapave_ros.sim.dynamixel_protocol import (
    BROADCAST_ID,
    HEADER,
    STATUS,
    Error,
    Instruction,
    Packet,
    Parser,
    crc16,
    status,
)
from sapave_ros.sim.xl330 import ROOM_WARM_C, Xl330

KINDS = ("ping", "read", "write", "other")
"""Sorts of instructions, as `Bus.instructions` counts them."""

_KIND = {
    Instruction.PING: 0,
    Instruction.READ: 1,
    Instruction.SYNC_READ: 1,
    Instruction.FAST_SYNC_READ: 1,
    Instruction.BULK_READ: 1,
    Instruction.WRITE: 2,
    Instruction.REG_WRITE: 2,
    Instruction.SYNC_WRITE: 2,
    Instruction.BULK_WRITE: 2,
}


class Bus:
    """Servos on one line. `feed` is the wire; everything else is for tests and faults.

    instructions: how many whole packets came from the master, by `KINDS`; an unreadable one is "other", and so are
    those that change a servo in another way (action, reboot).
    """

    def __init__(self, servos: Sequence[Xl330]) -> None:
        self.servos = tuple(servos)
        self.instructions = [0] * len(KINDS)
        self._parser = Parser()
        self._silent: set[int] = set()
        self._garbage = self._jam = b""
        self._late: bytes | None = None
        self._delay = False

    def servo(self, servo_id: int) -> Xl330:
        """The servo of that id; KeyError lists the ids there are."""
        for servo in self.servos:
            if servo.id == servo_id:
                return servo
        raise KeyError(f"no servo with id {servo_id}; there are {[s.id for s in self.servos]}")

    def feed(self, data: bytes, now_s: float, baud_rate: int | None = None) -> bytes:
        """Bytes that the master sent at now_s [s] to the bytes that the servos answer.

        baud_rate: what the line runs at; servos set to another rate neither understand nor answer.
        """
        answer = b""
        listening = [s for s in self.servos if baud_rate in (None, s.baud_rate) and s.id not in self._silent]
        for packet in self._parser.feed(data, now_s):
            if packet.instruction != STATUS:
                self.instructions[_KIND.get(packet.instruction, 3) if packet.crc_ok else 3] += 1
                answer += self._serve(packet, listening, now_s)
        if answer and self._jam:
            return self._jam
        if answer and self._garbage:
            answer, self._garbage = self._garbage, b""
        if answer and self._delay:
            self._late, self._delay = answer, False
            return b""
        if answer and self._late:
            answer, self._late = self._late + answer, None
        return answer

    def advance(self, now_s: float) -> None:
        """Bring every servo to now_s [s]."""
        for servo in self.servos:
            servo.advance(now_s)

    def silence(self, servo_id: int, on: bool = True) -> None:
        """Fault: a servo that hears and answers nothing (its cable is out), until `on=False`."""
        (self._silent.add if on else self._silent.discard)(self.servo(servo_id).id)

    def garble(self, data: bytes) -> None:
        """Fault: the next answer on the line is `data` instead."""
        self._garbage = data

    def jam(self, data: bytes) -> None:
        """Fault: every answer on the line is `data` instead."""
        self._jam = data

    def delay(self) -> None:
        """Fault: the next answer comes late, just before the one after it (a hiccup of the USB adapter)."""
        self._delay = True

    def hardware_error(self, servo_id: int, bits: int) -> None:
        """Fault: see `Xl330.fail`."""
        self.servo(servo_id).fail(bits)

    def heal(self) -> None:
        """Ends all faults. A servo that lost its torque to a hardware error comes back as after a power cycle."""
        self._silent.clear()
        self._garbage, self._jam, self._late, self._delay = b"", b"", None, False
        for servo in self.servos:
            servo.warm(ROOM_WARM_C)
            if servo.error:
                servo.reboot()

    def _serve(self, packet: Packet, listening: Sequence[Xl330], now_s: float) -> bytes:
        by_id = {s.id: s for s in listening}
        addressed = listening if packet.servo_id == BROADCAST_ID else [s for s in listening if s.id == packet.servo_id]
        if not packet.crc_ok:
            return b"".join(status(s.id, Error.CRC | s.error) for s in addressed if packet.servo_id != BROADCAST_ID)
        for servo in addressed:
            servo.hear(now_s)
        p = packet.parameters
        match_group = {
            Instruction.SYNC_READ: self._sync_read,
            Instruction.FAST_SYNC_READ: self._fast_sync_read,
            Instruction.BULK_READ: self._bulk_read,
        }.get(packet.instruction)
        if match_group is not None:
            return match_group(p, by_id)
        if packet.instruction == Instruction.SYNC_WRITE:
            _sync_write(p, by_id)
            return b""
        if packet.instruction == Instruction.BULK_WRITE:
            _bulk_write(p, by_id)
            return b""
        answers = [_single(servo, packet.instruction, p) for servo in addressed]
        quiet = packet.servo_id == BROADCAST_ID and packet.instruction != Instruction.PING
        return b"" if quiet else b"".join(answers)

    @staticmethod
    def _sync_read(p: bytes, by_id: dict[int, Xl330]) -> bytes:
        answer = b""
        for servo_id in p[4:]:
            if servo_id not in by_id:
                return answer  # each waits for the answer of the one before it, so the rest stays silent
            answer += _read(by_id[servo_id], p[:4])
        return answer

    @staticmethod
    def _fast_sync_read(p: bytes, by_id: dict[int, Xl330]) -> bytes:
        # One packet from all: (error, id, data, CRC so far) for each. Not stuffed, as the SDK expects it.
        size = int.from_bytes(p[2:4], "little")
        length = 1 + len(p[4:]) * (size + 4)
        answer = HEADER + bytes([BROADCAST_ID]) + length.to_bytes(2, "little") + bytes([STATUS])
        for servo_id in p[4:]:
            if servo_id not in by_id:
                return answer
            error, data = by_id[servo_id].read(int.from_bytes(p[:2], "little"), size)
            answer += bytes([error | by_id[servo_id].error, servo_id]) + data.ljust(size, b"\0")
            answer += crc16(answer).to_bytes(2, "little")
        return answer

    @staticmethod
    def _bulk_read(p: bytes, by_id: dict[int, Xl330]) -> bytes:
        answer = b""
        for i in range(0, len(p) - 4, 5):
            if p[i] not in by_id:
                return answer
            answer += _read(by_id[p[i]], p[i + 1 : i + 5])
        return answer


def _read(servo: Xl330, parameters: bytes) -> bytes:
    if servo["status_return_level"] < 1:
        return b""
    if len(parameters) != 4:
        return status(servo.id, Error.DATA_LENGTH | servo.error)
    address, size = int.from_bytes(parameters[:2], "little"), int.from_bytes(parameters[2:], "little")
    error, data = servo.read(address, size)
    return status(servo.id, error | servo.error, data)


def _sync_write(p: bytes, by_id: dict[int, Xl330]) -> None:
    address, size = int.from_bytes(p[:2], "little"), int.from_bytes(p[2:4], "little")
    for i in range(4, len(p) - size, size + 1):
        if p[i] in by_id:
            by_id[p[i]].write(address, p[i + 1 : i + 1 + size])


def _bulk_write(p: bytes, by_id: dict[int, Xl330]) -> None:
    while len(p) > 5:
        size = int.from_bytes(p[3:5], "little")
        if p[0] in by_id:
            by_id[p[0]].write(int.from_bytes(p[1:3], "little"), p[5 : 5 + size])
        p = p[5 + size :]


def _single(servo: Xl330, instruction: int, p: bytes) -> bytes:
    """One servo's answer to an instruction of its own; empty where its return level keeps it quiet."""
    if instruction == Instruction.PING:
        _, model = servo.read(0, 2)
        return status(servo.id, servo.error, model + bytes([servo["firmware_version"]]))
    if instruction == Instruction.READ:
        return _read(servo, p)
    level = servo["status_return_level"]
    if instruction == Instruction.WRITE and len(p) > 2:
        error = servo.write(int.from_bytes(p[:2], "little"), p[2:])
    elif instruction == Instruction.REG_WRITE and len(p) > 2:
        error = servo.register_write(int.from_bytes(p[:2], "little"), p[2:])
    elif instruction == Instruction.ACTION:
        error = servo.action()
    elif instruction == Instruction.REBOOT:
        servo.reboot()
        error = Error.NONE
    elif instruction in (Instruction.WRITE, Instruction.REG_WRITE):
        error = Error.DATA_LENGTH
    else:
        error = Error.INSTRUCTION
    return status(servo.id, error | servo.error) if level == 2 else b""
