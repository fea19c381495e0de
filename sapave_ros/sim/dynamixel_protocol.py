"""Dynamixel Protocol 2.0 packets: bytes to packets and back (ROBOTIS e-Manual, "Protocol 2.0").

    FF FF FD 00 | id | length (2) | instruction | parameters... | CRC-16 (2)

`length` counts from the instruction to the end. Where FF FF FD would occur after it, a second FD is
stuffed in, so that a header is never seen inside a packet.
"""

from __future__ import annotations

from dataclasses import dataclass

HEADER = b"\xff\xff\xfd\x00"
BROADCAST_ID = 0xFE
STATUS = 0x55
MAX_LENGTH = 1024
BYTE_GAP_S = 0.1
"""A packet that pauses this long [s] is given up: its sender has died in the middle of it."""


class Instruction:
    """Instruction bytes."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REG_WRITE = 0x04
    ACTION = 0x05
    REBOOT = 0x08
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83
    FAST_SYNC_READ = 0x8A
    BULK_READ = 0x92
    BULK_WRITE = 0x93


class Error:
    """Error numbers of a status packet; ALERT is a bit beside them: see the hardware error register."""

    NONE = 0
    RESULT_FAIL = 1
    INSTRUCTION = 2
    CRC = 3
    DATA_RANGE = 4
    DATA_LENGTH = 5
    DATA_LIMIT = 6
    ACCESS = 7
    ALERT = 0x80


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ (0x8005 if crc & 0x8000 else 0)
        table.append(crc & 0xFFFF)
    return tuple(table)


_CRC_TABLE = _crc_table()


def crc16(data: bytes) -> int:
    """CRC-16 with polynomial 0x8005, start 0, most significant bit first (e-Manual, "CRC calculation")."""
    crc = 0
    for byte in data:
        crc = (crc << 8 & 0xFFFF) ^ _CRC_TABLE[(crc >> 8) ^ byte]
    return crc


def encode(servo_id: int, instruction: int, parameters: bytes) -> bytes:
    """One packet; for a status packet the first parameter is the error byte."""
    body = bytes([instruction, *parameters]).replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")
    packet = HEADER + bytes([servo_id]) + (len(body) + 2).to_bytes(2, "little") + body
    return packet + crc16(packet).to_bytes(2, "little")


def status(servo_id: int, error: int, data: bytes = b"") -> bytes:
    """A servo's answer."""
    return encode(servo_id, STATUS, bytes([error]) + data)


@dataclass(frozen=True)
class Packet:
    """One packet as received. crc_ok: false where the checksum does not match, so its content means nothing."""

    servo_id: int
    instruction: int
    parameters: bytes
    crc_ok: bool


class Parser:
    """Finds packets in a stream of bytes that may start, end or break anywhere."""

    def __init__(self) -> None:
        self._buffer = b""
        self._last_byte_s = 0.0

    def feed(self, data: bytes, now_s: float) -> list[Packet]:
        """All packets completed by `data`, which arrived at now_s [s, any clock]."""
        if now_s - self._last_byte_s > BYTE_GAP_S:
            self._buffer = b""
        self._last_byte_s = now_s
        self._buffer += data
        packets: list[Packet] = []
        while True:
            start = self._buffer.find(HEADER)
            if start < 0:
                self._buffer = self._buffer[-3:]  # may be the beginning of a header
                return packets
            self._buffer = self._buffer[start:]
            if len(self._buffer) < 7:
                return packets
            length = int.from_bytes(self._buffer[5:7], "little")
            if not 3 <= length <= MAX_LENGTH:
                self._buffer = self._buffer[1:]
                continue
            end = 7 + length
            if len(self._buffer) < end:
                return packets
            packet, self._buffer = self._buffer[:end], self._buffer[end:]
            body = packet[7:-2].replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd")
            crc_ok = crc16(packet[:-2]) == int.from_bytes(packet[-2:], "little")
            packets.append(Packet(packet[4], body[0], body[1:], crc_ok))
