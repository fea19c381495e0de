"""Facts about the network interface to the robot."""

from __future__ import annotations

import array
import fcntl
import ipaddress
import socket
import struct
from pathlib import Path

from sapave_ros.doctor.judge.network import ROBOT_NETWORK, NetworkFacts
from sapave_ros.doctor.settings import Settings

_SIOCGIFCONF = 0x8912
_ROW = 40  # bytes of a struct ifreq
_IFF_UP = 1


def addresses() -> list[tuple[str, str]]:
    """(interface, address) of all IPv4 addresses of this machine."""
    rows = array.array("B", bytes(_ROW * 256))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = struct.pack("iL", len(rows), rows.buffer_info()[0])
        used = struct.unpack("iL", fcntl.ioctl(s, _SIOCGIFCONF, request))[0]
    found = []
    for start in range(0, used, _ROW):
        row = rows[start : start + _ROW].tobytes()
        name = row[:16].split(b"\0")[0].decode().partition(":")[0]
        found.append((name, str(ipaddress.ip_address(row[20:24]))))
    return found


def network(settings: Settings) -> NetworkFacts:
    name = settings.nodes["arm"]["dds_interface"]
    interfaces = [n for _, n in socket.if_nameindex()]
    there = addresses()
    elsewhere = {i: a for i, a in there if ipaddress.ip_address(a) in ROBOT_NETWORK}
    if name not in interfaces:
        return NetworkFacts(interfaces, elsewhere=elsewhere)
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
        addresses=[a for i, a in there if i == name],
        elsewhere=elsewhere,
    )
