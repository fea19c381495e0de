"""Facts about the network interface to the robot."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from pathlib import Path

from sapave_ros.doctor.judge.network import NetworkFacts
from sapave_ros.doctor.settings import Settings

_SIOCGIFCONF = 0x8912
_ROW = 40  # bytes of a struct ifreq
_IFF_UP = 1


def addresses(interface: str) -> list[str]:
    """All IPv4 addresses of an interface."""
    import array

    rows = array.array("B", bytes(_ROW * 256))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = struct.pack("iL", len(rows), rows.buffer_info()[0])
        used = struct.unpack("iL", fcntl.ioctl(s, _SIOCGIFCONF, request))[0]
    found = []
    for start in range(0, used, _ROW):
        row = rows[start : start + _ROW].tobytes()
        if row[:16].split(b"\0")[0].decode().partition(":")[0] == interface:
            found.append(str(ipaddress.ip_address(row[20:24])))
    return found


def network(settings: Settings) -> NetworkFacts:
    name = settings.nodes["arm"]["dds_interface"]
    interfaces = [n for _, n in socket.if_nameindex()]
    if name not in interfaces:
        return NetworkFacts(interfaces)
    folder = Path("/sys/class/net") / name

    def read(file: str, otherwise: str) -> str:
        try:
            return (folder / file).read_text().strip()
        except OSError:  # an interface that is down has no carrier and no speed
            return otherwise

    return NetworkFacts(
        interfaces,
        up=bool(int(read("flags", "0x0"), 16) & _IFF_UP),
        carrier=read("carrier", "0") == "1",
        speed_mbit=max(0, int(read("speed", "0"))),
        wireless=(folder / "wireless").exists(),
        addresses=addresses(name),
    )
