"""Which way the messages of ROS go: a profile of Fast DDS for each process, and who shares memory.

Shared memory is for those who hand pictures on, and only they: a process that is stopped or killed, or waits for the
processor, can hold up all who share memory with it, and the watchdog and the controllers shall feel nothing of it.

What stays on this machine is kept there by the profile. The range LOCALHOST of ROS, and ROS_LOCALHOST_ONLY before it,
give everybody shared memory, whatever a profile says, and send everything twice (rmw_fastrtps 8.4).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from sapave_ros.share import share_path

PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE"
DISCOVERY, LOCALHOST_ONLY = "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY"

SMALL, PICTURES, RECORD = "", "_pictures", "_record"
"""Who hands on no pictures, who does, and who takes them but holds up nobody."""


def transport(kind: str, caller: Mapping[str, str], stays_here: bool = False) -> dict[str, str]:
    """What a process of that kind needs in its environment besides the caller's.

    stays_here: nobody on another machine shall find it. The same where the caller's environment says so.
    """
    before = caller.get(LOCALHOST_ONLY) == "1"
    local = stays_here or before or caller.get(DISCOVERY) == "LOCALHOST"
    env = {PROFILE: str(share_path(f"config/fastdds{'_local' * local}{kind}.xml"))}
    if local:
        env[DISCOVERY] = "SYSTEM_DEFAULT"
    if before:
        env[LOCALHOST_ONLY] = "0"
    return env


def own_transport(kind: str) -> dict[str, str]:
    """As `transport`, for a tool beside the graph: nothing where the person who starts it has a profile already."""
    return {} if PROFILE in os.environ else transport(kind, os.environ)
