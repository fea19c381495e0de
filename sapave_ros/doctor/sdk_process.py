"""Listens to the robot for the doctor, under the SDK's interpreter, in a process of its own.

ROS and the SDK must not share a process (see `drivers/unitree_process`). Publishes nothing on any actuator topic: it
reads `rt/lowstate` and `rt/inspire/state`, looks at who else writes where, and asks two services for their state.
Python 3.8, numpy only. Started by path with the drivers' folder on PYTHONPATH.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time

import numpy as np

if __package__:
    from sapave_ros.drivers import unitree_cdr, unitree_sdk
else:
    import unitree_cdr  # type: ignore[no-redef]
    import unitree_sdk  # type: ignore[no-redef]

ANSWER = "doctor: "
"""First of the lines that carry facts; each holds all that is known by then, so that a crash loses the rest only."""

COMMAND_TOPICS = (
    "rt/arm_sdk",
    "rt/lowcmd",
    "rt/user_lowcmd",
    "rt/inspire/cmd",
    "rt/inspire_hand/ctrl/l",
    "rt/inspire_hand/ctrl/r",
    "rt/dex3/left/cmd",
    "rt/dex3/right/cmd",
    "rt/g1_comp_servo/cmd",
)
"""Whoever writes one of these moves the robot."""

HAND_TOPICS = ("rt/inspire/state", "rt/inspire_hand/state/l", "rt/dex3/left/state", "rt/brainco/left/state")
"""Whoever writes one of these is a hand service."""

MOTION_SWITCHER, CHECK_MODE = "motion_switcher", 1001
SPORT, GET_FSM_ID = "sport", 7001
RPC_TIMEOUT_S = 1.0


def tell(facts: dict) -> None:
    print(ANSWER + json.dumps(facts), flush=True)


def software(facts: dict) -> None:
    """What runs here; raises UnitreeError where the SDK does not load."""
    facts["python"] = ".".join(map(str, sys.version_info[:3]))
    facts["executable"] = sys.executable
    unitree_sdk.load()
    from importlib.metadata import version

    facts["cyclonedds"] = version("cyclonedds")


class Writers:
    """Who publishes what on this domain, by DDS' own discovery."""

    def __init__(self, domain: int) -> None:
        from cyclonedds.builtin import (
            BuiltinDataReader,
            BuiltinTopicDcpsParticipant,
            BuiltinTopicDcpsPublication,
        )
        from cyclonedds.domain import DomainParticipant

        self._participant = DomainParticipant(domain)  # of the domain that the SDK has opened
        self._processes = BuiltinDataReader(self._participant, BuiltinTopicDcpsParticipant)
        self._publications = BuiltinDataReader(self._participant, BuiltinTopicDcpsPublication)

    def read(self) -> list:
        """[topic, host, pid, process name] of every writer of a command or a hand; empty texts where unknown."""
        processes = {}
        for sample in self._processes.read(256):
            if sample.sample_info.valid_data:
                properties = {getattr(p, "key", ""): getattr(p, "value", "") for p in sample.qos}
                processes[sample.key] = [properties.get("__" + k, "") for k in ("Hostname", "Pid", "ProcessName")]
        writers = []
        for sample in self._publications.read(1024):
            if sample.sample_info.valid_data and sample.topic_name in COMMAND_TOPICS + HAND_TOPICS:
                who = processes.get(sample.participant_key, ["", "", ""])
                if who[:2] != [socket.gethostname(), str(os.getpid())]:
                    writers.append([sample.topic_name] + who)
        return sorted(writers)


def ask(facts: dict, key: str, service: str, api: int) -> None:
    """facts[key]: [error code, answer]; code 0 is an answer. Asks only for a state."""
    from unitree_sdk2py.rpc.client import Client

    client = Client(service)
    client.SetTimeout(RPC_TIMEOUT_S)
    client._SetApiVerson("1.0.0.0")
    client._RegistApi(api, 0)
    code, answer = client._Call(api, "{}")
    facts[key] = [int(code), str(answer or "")]


def listen(facts: dict, seconds: float) -> None:
    """The robot's state for that long [s]."""
    from unitree_sdk2py.idl.unitree_go.msg.dds_ import MotorStates_
    from unitree_sdk2py.idl.unitree_hg.msg.dds_ import LowState_

    body, hands = unitree_sdk.Subscriber("rt/lowstate", LowState_), unitree_sdk.Subscriber(HAND_TOPICS[0], MotorStates_)
    frame = unitree_cdr.LowStateFrame()
    received, ticks, crc_errors, strange, hand_frames = [], [], 0, "", 0
    temperature = np.full((29, 2), -300)
    errors = np.zeros(29, dtype=np.int64)
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        body.wait(0.02)
        data = hands.take()
        if data is not None:
            entries = unitree_cdr.decode_motor_states(data)
            hand_frames += 1
            facts["hands"] = [float(q) for q in entries["q"]]
        data = body.take()
        if data is None:
            continue
        try:
            frame.load(data)
        except ValueError as error:
            strange = str(error)
            continue
        if not frame.intact:
            crc_errors += 1
            continue
        received.append(time.monotonic())
        ticks.append(int(frame.tick[0]))
        temperature = np.maximum(temperature, frame.temperature[:29])
        errors |= frame.motor_error[:29].astype(np.int64)
    facts.update(frames=len(received), crc_errors=crc_errors, strange=strange, hand_frames=hand_frames)
    if not received:
        return
    gaps = np.diff(received)
    facts.update(
        span_s=received[-1] - received[0],
        largest_gap_s=float(gaps.max()) if len(gaps) else 0.0,
        tick_ms=(ticks[-1] - ticks[0]) & 0xFFFFFFFF,
        mode_pr=int(frame.header[0]),
        mode_machine=int(frame.header[1]),
        motor_mode=frame.motor_mode[:29].tolist(),
        positions=frame.motors[:29, 0].tolist(),
        quaternion=frame.imu[:4].tolist(),
        casing_c=temperature[:, 0].tolist(),
        winding_c=temperature[:, 1].tolist(),
        motor_error=errors.tolist(),
        voltage=frame.voltage[:29].tolist(),
    )


def examine(config: dict) -> dict:
    """Everything; what stops the examination is under `trouble`."""
    facts: dict = {"trouble": ""}
    try:
        software(facts)
        tell(facts)
        unitree_sdk.open_domain(config["domain"], config["interface"])
        try:
            writers = Writers(config["domain"])
        except Exception as error:  # the builtin topics differ between versions of cyclonedds
            writers, facts["writers_trouble"] = None, repr(error)
        asking = [
            threading.Thread(target=ask, args=(facts, *question), daemon=True)
            for question in (("switcher", MOTION_SWITCHER, CHECK_MODE), ("fsm", SPORT, GET_FSM_ID))
            if config["services"]
        ]
        for thread in asking:
            thread.start()
        listen(facts, config["listen_s"])
        tell(facts)
        for thread in asking:
            thread.join(2 * RPC_TIMEOUT_S + 1.0)
        if writers is not None:
            facts["writers"] = writers.read()
    except unitree_sdk.UnitreeError as error:
        facts["trouble"] = str(error)
    except Exception as error:
        facts["trouble"] = f"{type(error).__name__}: {error}"
    return facts


if __name__ == "__main__":
    tell(dict(examine(json.loads(sys.argv[1])), complete=True))
    os._exit(0)  # cyclonedds may hang while the interpreter shuts down
