"""What the doctor makes of facts: no machine, no robot, no time. Every verdict has an example here."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import subprocess
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sapave_ros import cli, g1, graph
from sapave_ros.doctor import command, report, runner
from sapave_ros.doctor import settings as of
from sapave_ros.doctor.checks import CHECKS, PROBES
from sapave_ros.doctor.finding import Finding, Outcome, Verdict, exit_code
from sapave_ros.doctor.judge import camera, company, machine, neck, network, policy, robot, ros, software
from sapave_ros.doctor.settings import Settings
from sapave_ros.parameters import ParameterError

OK, WARNING, WRONG, SKIPPED = Verdict.OK, Verdict.WARNING, Verdict.WRONG, Verdict.SKIPPED

NODES = {
    "arm": {"dds_interface": "eth0", "sdk_python": "/sdk/python"},
    "head": {"port": "/dev/ttyUSB0", "lower_rad": [-0.87, -0.35], "upper_rad": [0.87, 1.48]},
    "camera": {"source": "realsense", "ring": "", "serial_number": "", "width": 424, "height": 240, "fps": 30},
    "inference": {"rate_hz": 7.5, "provider": "auto", "model": "", "threads": 1},
}
ROBOT = Settings(sim=False, dds_domain=0, ros_domain="42", run_dir="/tmp/run", nodes=NODES)
SIM = replace(
    ROBOT,
    sim=True,
    dds_domain=1,
    nodes=NODES | {"arm": {"dds_interface": "lo"}, "camera": {"source": "sim", "ring": "/tmp/run/camera"}},
)

MIDDLE = [0.0] * 29
SOFTWARE = software.SoftwareFacts((3, 11, 7), "python", {"numpy": "2"})
PARAMETERS = software.ParameterFacts(nodes=NODES)
SHARE = software.ShareFacts({"config/fastdds.xml": "/x"})
GRAPHICS = software.GraphicsFacts("egl")
SHELL = ros.EnvironmentFacts(
    distro="jazzy", profile="/p.xml", receive_bytes=4000, send_bytes=4000, rmem_max=4000, wmem_max=4000
)
GRAPH = ros.GraphFacts(segment_bytes=33, profile_bytes=32, claims={"ros_domain": ""})
NETWORK = network.NetworkFacts(["lo", "eth0"], True, True, 1000, False, ["192.168.123.222"])
BODY = robot.RobotFacts(
    python="3.10.1",
    executable="/sdk/python",
    cyclonedds="0.10.2",
    frames=1000,
    span_s=2.0,
    largest_gap_s=0.004,
    tick_ms=2000,
    mode_machine=5,
    motor_mode=[1] * 29,
    positions=MIDDLE,
    quaternion=[1.0, 0.0, 0.0, 0.0],
    casing_c=[35] * 29,
    winding_c=[40] * 29,
    motor_error=[0] * 29,
    voltage=[50.0] * 29,
    hand_frames=200,
    hands=[1.0] * 12,
    switcher=[0, '{"form": "0", "name": "ai"}'],
    fsm=[0, '{"data": 500}'],
    writers=[],
)
SILENT = robot.RobotFacts(python="3.10.1", executable="/sdk/python", cyclonedds="0.10.2", writers=[])
NECK = neck.NeckFacts(
    exists=True,
    readable=True,
    ids=[0, 1],
    models=["XL330-M288"] * 2,
    temperature_c=[33.0, 33.0],
    voltage_v=[5.0, 5.0],
    errors=[[], []],
    tripped=[False, False],
    torque=[False, False],
    positions=[0.0, 0.3],
)
REALSENSE = camera.CameraFacts({"123": "D435I"}, "123", "3.2")
RING = camera.CameraFacts(ring=True, ring_s=1.0, frames=30, age_s=0.03)
MODEL = policy.PolicyFacts(
    "m.onnx", 8_000_000, "", "nano", "abcdef", ["head"], 0.1, 0.03, 0.1, 16, ["CPUExecutionProvider"]
)
COMPUTER = machine.MachineFacts(
    now_s=1.8e9,
    synchronised=True,
    max_error_s=0.01,
    governors={"performance": 8},
    realtime="SCHED_FIFO 20",
    cores=8,
    load=0.5,
    memory_mb=8000,
    log_folder="/tmp",
    disk_mb=9000,
    shm_mb=4000,
    shm_total_mb=4000,
)
GOOD = {
    "software": SOFTWARE, "parameters": PARAMETERS, "share": SHARE, "graphics": GRAPHICS, "environment": SHELL,
    "graph": GRAPH, "network": NETWORK, "robot": BODY, "neck": NECK, "camera": REALSENSE, "policy": MODEL,
    "machine": COMPUTER,
}  # fmt: skip


def motor(values, name, value):
    return [value if n == name else v for n, v in zip(g1.MOTOR_NAMES, values, strict=True)]


ARM_SDK = ["rt/arm_sdk", "box", "77", "python"]
LOW_CMD = ["rt/lowcmd", "pc1", "5", "ai_sport"]
HEAD_NODE = {"9": "python -m sapave_ros.nodes.head"}

# (judge, settings, facts, verdict, a word of what is said)
EXAMPLES = [
    (software.python, ROBOT, replace(SOFTWARE, python=(3, 9, 0)), WRONG, "3.10 to 3.13"),
    (software.packages, ROBOT, replace(SOFTWARE, broken={"ruckig": "No module"}), WRONG, "pip install ruckig"),
    (software.packages, SIM, replace(SOFTWARE, broken={"mujoco": "No module"}), WRONG, ".[sim]"),
    (software.parameters, ROBOT, replace(PARAMETERS, missing="No module named 'rclpy'"), WRONG, "setup.bash"),
    (software.parameters, ROBOT, replace(PARAMETERS, refused={"head": "parameter ids: 3"}), WRONG, "parameter ids"),
    (software.parameters, ROBOT, replace(PARAMETERS, refused={"head": "module: none"}), WRONG, "pip install -e"),
    (software.parameters, ROBOT, replace(PARAMETERS, unknown=["arm.limit_scal"]), WRONG, "ignores"),
    (software.parameters, ROBOT, replace(PARAMETERS, overridden=["arm.dds_domain: 3"]), WARNING, "overrules"),
    (software.share, ROBOT, software.ShareFacts({"config/fastdds.xml": ""}), WRONG, "is missing"),
    (software.share, ROBOT, replace(SHARE, trouble={"g1.urdf": "no joints"}), WRONG, "no joints"),
    (software.graphics, SIM, replace(GRAPHICS, trouble="no EGL"), WRONG, "libegl1"),
    (ros.distro, ROBOT, replace(SHELL, distro=""), WARNING, "setup.bash"),
    (ros.distro, ROBOT, replace(SHELL, distro="foxy"), WARNING, "humble"),
    (ros.distro, ROBOT, replace(SHELL, distro="", from_wheels=True), OK, "wheels"),
    (ros.domains, replace(ROBOT, ros_domain="0"), SHELL, WRONG, "export ROS_DOMAIN_ID"),
    (ros.domains, replace(ROBOT, ros_domain="robot"), SHELL, WRONG, "0..101"),
    (ros.domains, replace(ROBOT, ros_domain="102"), SHELL, WRONG, "0..101"),
    (ros.domains, replace(SIM, ros_domain="0"), SHELL, OK, "ROS 0, Unitree 1"),
    (ros.middleware, ROBOT, replace(SHELL, rmw="rmw_cyclonedds_cpp"), WARNING, "export RMW"),
    (ros.discovery, ROBOT, replace(SHELL, discovery="OFF"), WRONG, "unset"),
    (ros.discovery, ROBOT, replace(SHELL, discovery="HOUSE"), WRONG, "expected one of"),
    (ros.discovery, ROBOT, replace(SHELL, discovery="LOCALHOST"), OK, "this machine only"),
    (ros.discovery, ROBOT, replace(SHELL, localhost_only="1"), WARNING, "unset ROS_LOCALHOST_ONLY"),
    (ros.shell_profile, ROBOT, replace(SHELL, profiles="/other.xml"), WARNING, "/p.xml"),
    (ros.buffers, ROBOT, replace(SHELL, rmem_max=212), WARNING, "sysctl -w net.core.rmem_max=4000"),
    (ros.profile, ROBOT, replace(GRAPH, segment_bytes=1), WRONG, "pictures get lost"),
    (ros.profile, ROBOT, replace(GRAPH, trouble="no rmw"), WRONG, "no rmw"),
    (ros.alone, ROBOT, replace(GRAPH, trouble="no rmw"), SKIPPED, "Fast DDS profile"),
    (ros.alone, ROBOT, replace(GRAPH, nodes=["rviz"]), OK, "but rviz"),
    (ros.alone, ROBOT, replace(GRAPH, nodes=["head", "arm"]), WARNING, "a graph runs"),
    (ros.alone, ROBOT, replace(GRAPH, claims={"run_dir": "process 9"}), WARNING, "process 9"),
    (ros.alone, ROBOT, replace(GRAPH, nodes=["head", "head"]), WRONG, "twice"),
    (ros.alone, ROBOT, replace(GRAPH, strangers=["x publishes /sapave/permit"]), WRONG, "stop those nodes"),
    (ros.time, ROBOT, replace(GRAPH, clock_s=3.0), WRONG, "use_sim_time"),
    (ros.time, ROBOT, replace(GRAPH, drift_s=-1.0), WRONG, "timedatectl"),
    (network.interface, ROBOT, replace(NETWORK, interfaces=["lo"]), WRONG, "no interface 'eth0'"),
    (network.interface, ROBOT, replace(NETWORK, interfaces=["lo"], elsewhere={"enp3s0": "192.168.123.9"}), WRONG,
     "dds_interface: enp3s0"),
    (network.interface, ROBOT, replace(NETWORK, up=False), WRONG, "ip link set eth0 up"),
    (network.interface, ROBOT, replace(NETWORK, carrier=False), WRONG, "cable"),
    (network.interface, ROBOT, replace(NETWORK, addresses=["10.0.0.1"]), WRONG, "ip addr add"),
    (network.interface, ROBOT, replace(NETWORK, addresses=["10.0.0.1", "192.168.123.5"]), OK, "192.168.123.5"),
    (network.interface, ROBOT, replace(NETWORK, wireless=True), WARNING, "cable"),
    (network.interface, ROBOT, replace(NETWORK, speed_mbit=10), WARNING, "100 Mbit/s"),
    (network.interface, replace(ROBOT, nodes=SIM.nodes), NETWORK, WRONG, "lo leads to no robot"),
    (network.interface, SIM, network.NetworkFacts(["lo"], True), OK, "lo is up"),
    (robot.sdk, ROBOT, robot.RobotFacts(trouble="unitree_sdk2py is not installed"), WRONG, "cyclonedds==0.10.2"),
    (robot.sdk, ROBOT, replace(BODY, cyclonedds="11.0.1"), WRONG, "crash each other"),
    (robot.sdk, SIM, replace(BODY, cyclonedds="0.10.2", sim_cyclonedds="11.0.1"), WRONG, "leave sdk_python"),
    (robot.state, ROBOT, replace(BODY, cyclonedds="11.0.1"), SKIPPED, "Unitree SDK"),
    (robot.state, ROBOT, replace(SILENT, trouble="no such network interface"), WRONG, "no such network"),
    (robot.state, ROBOT, SILENT, WRONG, "power on the robot"),
    (robot.state, SIM, replace(SILENT, expected=False), SKIPPED, "sapave up --sim"),
    (robot.state, SIM, SILENT, WRONG, "nothing in 2 s"),
    (robot.state, ROBOT, replace(SILENT, crc_errors=9), WRONG, "CRC"),
    (robot.state, ROBOT, replace(SILENT, strange="LowStateFrame: 12 bytes"), WRONG, "firmware"),
    (robot.state, ROBOT, replace(BODY, frames=30), WRONG, "expected 500 Hz"),
    (robot.state, ROBOT, replace(BODY, frames=300), WARNING, "expected 500 Hz"),
    (robot.state, ROBOT, replace(BODY, crc_errors=1), WARNING, "1 CRC errors"),
    (robot.state, ROBOT, replace(BODY, largest_gap_s=0.06), WARNING, "60 ms"),
    (robot.kind, ROBOT, SILENT, SKIPPED, "robot state"),
    (robot.kind, ROBOT, replace(BODY, mode_machine=4), WRONG, "29 joints"),
    (robot.kind, ROBOT, replace(BODY, motor_mode=[1] * 20 + [0] * 2 + [1] * 7), WRONG, "23-joint"),
    (robot.kind, ROBOT, replace(BODY, mode_machine=0), WARNING, "simulator"),
    (robot.kind, ROBOT, replace(BODY, positions=motor(MIDDLE, "left_elbow_joint", 2.9)), WRONG, "joint is at"),
    (robot.kind, ROBOT, replace(BODY, positions=[math.nan] * 29), WRONG, "finite"),
    (robot.clock, ROBOT, replace(BODY, tick_ms=0), WRONG, "repeats"),
    (robot.clock, ROBOT, replace(BODY, tick_ms=1000), WARNING, "expected the same"),
    (robot.clock, ROBOT, replace(BODY, span_s=0.0, frames=1), WRONG, "one LowState_ alone"),
    (robot.upright, ROBOT, replace(BODY, quaternion=[0.0] * 4), WRONG, "IMU"),
    (robot.upright, ROBOT, replace(BODY, quaternion=[0.9, 0.0, math.sqrt(1 - 0.81), 0.0]), WRONG, "stand the robot up"),
    (robot.upright, ROBOT, replace(BODY, quaternion=[math.cos(0.2), math.sin(0.2), 0.0, 0.0]), WARNING, "22.9 deg"),
    (robot.motors, ROBOT, replace(BODY, motor_error=motor([0] * 29, "left_knee_joint", 1 << 31 | 1)), WRONG, "current"),
    (robot.motors, ROBOT, replace(BODY, motor_error=motor([0] * 29, "left_knee_joint", 1 << 24)), WRONG, "0x1000000"),
    (robot.motors, ROBOT, replace(BODY, winding_c=motor([40] * 29, "waist_yaw_joint", 121)), WRONG, "waist_yaw_joint"),
    (robot.motors, ROBOT, replace(BODY, casing_c=motor([35] * 29, "left_knee_joint", 71)), WARNING, "cool"),
    (robot.motors, ROBOT, replace(BODY, voltage=[38.0] * 29), WRONG, "battery"),
    (robot.motors, ROBOT, replace(BODY, voltage=[60.0] * 29), WARNING, "supply"),
    (robot.motors, ROBOT, replace(BODY, voltage=[0.0] * 29), OK, "no voltage reported"),
    (company.motion_service, SIM, BODY, SKIPPED, "simulated"),
    (company.motion_service, ROBOT, SILENT, SKIPPED, "robot state"),
    (company.motion_service, ROBOT, replace(BODY, fsm=[3102, ""]), WRONG, "3102"),
    (company.motion_service, ROBOT, replace(BODY, fsm=[]), WRONG, "does not answer"),
    (company.motion_service, ROBOT, replace(BODY, switcher=[0, '{"name": ""}']), WRONG, "debug mode"),
    (company.motion_service, ROBOT, replace(BODY, fsm=[0, '{"data": 4}']), WRONG, "lock stand"),
    (company.motion_service, ROBOT, replace(BODY, fsm=[0, '{"data": "four"}']), WRONG, "does not answer"),
    (company.motion_service, ROBOT, replace(BODY, switcher=[3104, ""], fsm=[0, '{"data": 501}']), OK, "FSM 501"),
    (company.hands, ROBOT, SILENT, SKIPPED, "robot state"),
    (company.hands, ROBOT, replace(BODY, hand_frames=0, hands=[]), WRONG, "hand service"),
    (company.hands, ROBOT, replace(BODY, hand_frames=0, writers=[["rt/dex3/left/state", "", "", ""]]), WRONG,
     "rt/dex3/left/state"),
    (company.hands, ROBOT, replace(BODY, hands=[1.0] * 6), WRONG, "6 entries"),
    (company.hands, ROBOT, replace(BODY, hands=[1.0] * 11 + [1.5]), WRONG, "expected 0 to 1"),
    (company.hands, ROBOT, replace(BODY, hands=[1.0] * 11 + [math.nan]), WRONG, "expected 0 to 1"),
    (company.hands, SIM, replace(SILENT, expected=False), SKIPPED, "sapave up --sim"),
    (company.writers, ROBOT, replace(BODY, writers=[ARM_SDK]), WRONG, "rt/arm_sdk by python 77 on box"),
    (company.writers, ROBOT, replace(BODY, writers=[ARM_SDK], ours=["77"]), OK, "ours alone"),
    (company.writers, ROBOT, replace(BODY, writers=[ARM_SDK, [*ARM_SDK[:2], "78", "x"]], ours=["77", "78"]), WRONG,
     "two of our own"),
    (company.writers, ROBOT, replace(BODY, writers=[LOW_CMD]), WARNING, "ai_sport 5 on pc1"),
    (company.writers, ROBOT, replace(BODY, writers=[LOW_CMD, ["rt/lowcmd", "", "", ""]]), WRONG, "unknown process"),
    (company.writers, ROBOT, replace(BODY, writers=[["rt/inspire/state", "pc2", "1", "inspire"]]), OK, "nobody"),
    (company.writers, ROBOT, replace(BODY, writers=None), SKIPPED, "robot state"),
    (company.writers, ROBOT, replace(BODY, writers=None, writers_trouble="ImportError"), WARNING, "ImportError"),
    (neck.port, ROBOT, neck.NeckFacts(False, found=["/dev/ttyACM0"]), WRONG, "/dev/ttyACM0"),
    (neck.port, SIM, neck.NeckFacts(False, sim_running=False), SKIPPED, "sapave up --sim"),
    (neck.port, ROBOT, replace(NECK, readable=False, group="dialout"), WRONG, "usermod -aG dialout"),
    (neck.port, ROBOT, replace(NECK, users={"8": "g1_comp_servo_service"}), WRONG, "kill 8"),
    (neck.port, ROBOT, replace(NECK, users=HEAD_NODE), SKIPPED, "running head node"),
    (neck.servos, ROBOT, replace(NECK, users=HEAD_NODE), SKIPPED, "servo port"),
    (neck.servos, ROBOT, replace(NECK, trouble="ids: no answer from servo 1"), WRONG, "no answer from servo 1"),
    (neck.servos, ROBOT, replace(NECK, errors=[[], ["overload"]]), WRONG, "servo 1: overload"),
    (neck.servos, ROBOT, replace(NECK, voltage_v=[5.0, 12.0]), WRONG, "3.7 to 6 V"),
    (neck.servos, ROBOT, replace(NECK, temperature_c=[33.0, 61.0]), WARNING, "cool"),
    (neck.servos, ROBOT, replace(NECK, tripped=[True, False]), OK, "watchdog of 0 tripped"),
    (neck.position, ROBOT, replace(NECK, positions=[1.2, 0.0]), WRONG, "zero_ticks"),
    (neck.position, ROBOT, replace(NECK, trouble="silent"), SKIPPED, "servos"),
    (neck.latency, ROBOT, replace(NECK, latency_ms=16), WARNING, "echo 1 | sudo tee"),
    (neck.latency, ROBOT, replace(NECK, latency_ms=1), OK, "1 ms"),
    (neck.latency, ROBOT, neck.NeckFacts(False), SKIPPED, "servo port"),
    (camera.camera, ROBOT, camera.CameraFacts(), WRONG, "no RealSense"),
    (camera.camera, ROBOT, camera.CameraFacts(trouble="libusb"), WRONG, "libusb-1.0-0"),
    (camera.camera, ROBOT, camera.CameraFacts({"1": "D455"}), WRONG, "serial_number"),
    (camera.camera, ROBOT, replace(REALSENSE, usb="2.1"), WRONG, "USB 3 port"),
    (camera.camera, ROBOT, replace(REALSENSE, missing=["depth (z16) 424x240"]), WRONG, "has no depth"),
    (camera.camera, ROBOT, replace(REALSENSE, devices={"123": "D435I", "9": "D455"}), WARNING, "several"),
    (camera.camera, SIM, RING, OK, "30 Hz"),
    (camera.camera, SIM, camera.CameraFacts(sim_running=False), SKIPPED, "sapave up --sim"),
    (camera.camera, SIM, camera.CameraFacts(), WRONG, "--run-dir"),
    (camera.camera, SIM, replace(RING, frames=0), WRONG, "stands still"),
    (camera.camera, SIM, replace(RING, age_s=-1.0), WRONG, "stands still"),
    (camera.camera, SIM, replace(RING, frames=15), WARNING, "expected 30 Hz"),
    (camera.camera, SIM, replace(RING, trouble="version 9"), WRONG, "version 9"),
    (policy.model, ROBOT, replace(MODEL, trouble="weights_sha256 is 'x'"), WRONG, "git checkout models/"),
    (policy.model, ROBOT, replace(MODEL, trained=[]), WRONG, "moves nothing"),
    (policy.inference, ROBOT, replace(MODEL, trouble="gone"), SKIPPED, "model"),
    (policy.inference, ROBOT, replace(MODEL, again_s=2.0), WRONG, "a chunk lasts"),
    (policy.inference, ROBOT, replace(MODEL, again_s=0.2), WARNING, "rate_hz"),
    (policy.inference, ROBOT, replace(MODEL, again_s=0.2, gpu="NVRM"), OK, "200 ms"),
    (policy.providers, ROBOT, replace(MODEL, gpu="NVRM"), WARNING, "onnxruntime-gpu"),
    (policy.providers, ROBOT, replace(MODEL, providers=["CUDAExecutionProvider"]), WARNING, "nvidia-smi"),
    (policy.providers, ROBOT, replace(MODEL, providers=["CUDAExecutionProvider"], gpu="NVRM"), OK, "CUDA"),
    (policy.providers, replace(ROBOT, nodes=NODES | {"inference": {"provider": "CUDAExecutionProvider"}}), MODEL, WRONG,
     "asked for"),
    (policy.providers, ROBOT, policy.PolicyFacts(), SKIPPED, "packages"),
    (machine.clock, ROBOT, replace(COMPUTER, now_s=0.0), WRONG, "never been set"),
    (machine.clock, ROBOT, replace(COMPUTER, synchronised=False), WARNING, "set-ntp"),
    (machine.clock, SIM, replace(COMPUTER, synchronised=False), OK, "shares one clock"),
    (machine.governor, ROBOT, replace(COMPUTER, governors={"powersave": 4}), WARNING, "cpupower"),
    (machine.governor, ROBOT, replace(COMPUTER, governors={}), OK, "no frequency scaling"),
    (machine.realtime, ROBOT, replace(COMPUTER, realtime="normal (no right)"), WARNING, "rtprio"),
    (machine.load, ROBOT, replace(COMPUTER, cores=1), WRONG, "more cores"),
    (machine.load, ROBOT, replace(COMPUTER, load=9.0), WARNING, "top"),
    (machine.memory, ROBOT, replace(COMPUTER, memory_mb=100), WRONG, "500 MB"),
    (machine.memory, ROBOT, replace(COMPUTER, memory_mb=1000), WARNING, "1500 MB"),
    (machine.disk, ROBOT, replace(COMPUTER, disk_mb=5), WRONG, "100 MB"),
    (machine.disk, ROBOT, replace(COMPUTER, disk_writable=False), WRONG, "--run-dir"),
    (machine.shared_memory, ROBOT, replace(COMPUTER, shm_total_mb=64), WRONG, "remount"),
    (machine.shared_memory, ROBOT, replace(COMPUTER, leftovers=["fastrtps_1"]), WARNING, "rm -f"),
    (machine.shared_memory, ROBOT, replace(COMPUTER, shm_mb=10, leftovers=["fastrtps_1"]), WRONG, "rm -f"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("judge", "where", "facts", "verdict", "word"),
    EXAMPLES,
    ids=[f"{e[0].__module__.rpartition('.')[2]}.{e[0].__name__}-{e[3].name}-{e[4]}" for e in EXAMPLES],
)
def test_a_verdict_and_its_words(judge, where, facts, verdict, word):
    outcome = judge(where, facts)
    assert outcome.verdict is verdict, outcome
    assert word in f"{outcome.found} {outcome.mend}"


def test_all_is_well_where_all_facts_are():
    findings = runner.judge(ROBOT, GOOD)
    assert {f.name: f.outcome for f in findings if f.outcome.verdict is not OK} == {}
    assert exit_code(findings) == 0


def test_every_check_has_an_example_of_what_is_not_well():
    judged = {e[0] for e in EXAMPLES if e[3] in (WARNING, WRONG)}
    assert {c.name for c in CHECKS if c.judge not in judged} == set()


def test_the_table_is_whole():
    assert {c.probe for c in CHECKS} == set(PROBES) == set(GOOD)
    assert len({c.name for c in CHECKS}) == len(CHECKS)
    assert all(isinstance(GOOD[name], row.facts) for name, row in PROBES.items())


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_facts_whatever_make_a_judge_of_the_robot_raise(data):
    number = st.floats(width=32) | st.just(0.0)
    whole = st.just(0) | st.integers(-(2**31), 2**31)
    answers = ["", "{}", "[]", '{"data": 1e400}', '{"data": null}', '{"data": 7}']
    facts = replace(
        BODY,
        frames=data.draw(st.integers(0, 2000)),
        crc_errors=data.draw(st.integers(0, 5)),
        span_s=data.draw(st.floats(0, 5)),
        tick_ms=data.draw(st.integers(0, 2**32)),
        mode_machine=data.draw(st.integers(0, 255)),
        motor_mode=data.draw(st.lists(st.integers(0, 255), min_size=29, max_size=29)),
        positions=data.draw(st.lists(number, min_size=29, max_size=29)),
        quaternion=data.draw(st.lists(number, min_size=4, max_size=4)),
        casing_c=data.draw(st.lists(st.integers(-300, 300), min_size=29, max_size=29)),
        motor_error=data.draw(st.lists(st.integers(0, 2**32 - 1), min_size=29, max_size=29)),
        voltage=data.draw(st.lists(number, min_size=29, max_size=29)),
        hands=data.draw(st.lists(number, max_size=14)),
        hand_frames=data.draw(st.integers(0, 300)),
        switcher=data.draw(st.just([]) | st.tuples(whole, st.text(max_size=8)).map(list)),
        fsm=data.draw(st.just([]) | st.tuples(whole, st.sampled_from(answers)).map(list)),
        writers=data.draw(st.none() | st.lists(st.sampled_from([ARM_SDK, LOW_CMD]), max_size=3)),
    )  # fmt: skip
    where = data.draw(st.sampled_from([ROBOT, SIM]))
    for check in CHECKS:
        if check.probe == "robot":
            outcome = check.judge(where, facts)
            if not facts.frames and not facts.hand_frames:
                assert outcome.verdict is not OK or check.name in ("Unitree SDK", "other writers")


def test_what_is_not_ok_says_how_to_mend_it():
    for verdict in (WARNING, WRONG, SKIPPED):
        with pytest.raises(ValueError, match="mend"):
            Outcome(verdict, "something")
    with pytest.raises(ValueError, match="mend"):
        Outcome(OK, "something", "nothing to mend")
    with pytest.raises(ValueError, match="found"):
        Outcome(OK, " ")


def outcomes(verdict):
    return Outcome(verdict, "found", "" if verdict is OK else "mend")


@given(st.lists(st.sampled_from(list(Verdict)), max_size=20))
def test_the_exit_code_follows_from_the_findings(verdicts):
    findings = [Finding("g", str(i), outcomes(v)) for i, v in enumerate(verdicts)]
    assert exit_code(findings) == (1 if WRONG in verdicts else 0)
    assert report.data(ROBOT, findings, 1.0)["exit_code"] == exit_code(findings)
    summary = report.summary(findings, 1.0)
    for verdict in (WARNING, WRONG, OK):
        if verdict in verdicts:
            assert f"{verdicts.count(verdict)} {verdict.value}" in summary


def test_the_report_is_aligned_narrow_and_coloured_on_request_only():
    findings = runner.judge(ROBOT, GOOD) + [
        Finding("more", f"{e[0].__name__} {i}", e[0](e[1], e[2])) for i, e in enumerate(EXAMPLES)
    ]
    plain = report.text(findings, colour=False)
    assert "\x1b" not in plain
    assert max(map(len, plain.splitlines())) <= report.WIDTH
    assert report.text(findings, colour=True).count("\x1b[") == 2 * len(findings)
    names = {line[16:34].strip() for line in plain.splitlines() if line.startswith("  ") and line[2] != " "}
    assert {f.name[:18] for f in findings} == names


def test_what_is_said_of_several_checks_is_said_once():
    same = Outcome(SKIPPED, "no robot", "find one")
    text = report.text([Finding("robot", name, same) for name in ("state", "type", "clock")], colour=False)
    assert text.count("no robot") == text.count("find one") == 1
    assert "type, clock" in text


# -- a probe may do what it likes -----------------------------------------------------------------------------


def ends(returncode=0, stdout="", stderr=""):
    return lambda *_, **__: subprocess.CompletedProcess([], returncode, stdout, stderr)


def raises(error):
    def run(*_, **__):
        raise error

    return run


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (raises(subprocess.TimeoutExpired("x", 1.0)), "no answer within"),
        (raises(OSError("fork: out of memory")), "out of memory"),
        (ends(-11, "", "some words\nSegmentation fault"), "status -11: Segmentation fault"),
        (ends(1, "", ""), "status 1"),
        (ends(0, "", ""), "IndexError"),
        (ends(0, "not json", ""), "JSONDecodeError"),
        (ends(0, '{"never_heard_of": 1}', ""), "TypeError"),
    ],
)
def test_a_probe_that_fails_is_wrong_once_and_stops_nobody(monkeypatch, behaviour, said):
    monkeypatch.setattr(runner.subprocess, "run", behaviour)
    facts = {name: runner.probe(name, ROBOT) for name in PROBES}
    findings = runner.judge(ROBOT, facts)
    assert len(findings) == len([c for c in CHECKS if not PROBES[c.probe].sim_only])
    by_probe = {c.name: c.probe for c in CHECKS}
    for probe in {by_probe[f.name] for f in findings}:
        first, *rest = [f.outcome for f in findings if by_probe[f.name] == probe]
        assert first.verdict is WRONG and said in first.found and f"--probe {probe}" in first.mend
        assert all(o.verdict is SKIPPED for o in rest)
    assert exit_code(findings) == 1


def test_facts_that_a_judge_cannot_take_are_wrong():
    findings = runner.judge(ROBOT, GOOD | {"robot": replace(BODY, positions=[])})
    assert [f.name for f in findings if "could not be judged" in f.outcome.found] == ["type"]
    assert exit_code(findings) == 1


def test_without_parameters_what_depends_on_them_is_not_looked_at():
    facts = {k: v for k, v in GOOD.items() if not PROBES[k].needs}
    facts["parameters"] = software.ParameterFacts(missing="No module named 'rclpy'")
    findings = {f.name: f.outcome for f in runner.judge(replace(ROBOT, nodes={}), facts)}
    assert findings["parameters"].verdict is WRONG
    assert {findings[n].verdict for n in ("robot state", "servos", "camera", "model")} == {SKIPPED}


# -- parameters as the nodes read them ------------------------------------------------------------------------


@pytest.mark.parametrize("process", [p for p in graph.PROCESSES if p.ros], ids=lambda p: p.name)
def test_what_a_node_declares_is_read_from_its_source(process):
    for kind in of.declared(process.module):
        assert dataclasses.is_dataclass(kind)
    if process.name in ("head", "arm", "camera", "inference"):
        values = {f.name for kind in of.declared(process.module) for f in dataclasses.fields(kind)}
        assert set(NODES[process.name]) <= values


def test_a_parameter_file_is_merged_as_by_ros():
    text = """
        /**: {ros__parameters: {a: 1, b: 2}}
        head: {ros__parameters: {b: 3, deep: {er: 4}}}
        arm: {ros__parameters: {a: 9}}
    """
    assert of.of_file(text, "head") == {"a": 1, "b": 3, "deep.er": 4}
    assert of.of_file("", "head") == {}
    assert of.strange_nodes("heat: {}\n/arm: {}\nrobot_state_publisher: {}", ["head", "arm"]) == [
        "heat; did you mean head?"
    ]


@pytest.mark.parametrize("text", ["- 1", "head: 3", "head: {port: x}", "head: ["])
def test_what_is_no_parameter_file_is_refused(text):
    with pytest.raises(ParameterError, match="params_file"):
        of.of_file(text, "head")


@dataclasses.dataclass(frozen=True)
class Example:
    size: float = of.dataclasses.field(default=1.0, metadata={"low": 0.0, "high": 5.0})
    name: str = of.dataclasses.field(default="", metadata={})
    count: int = of.dataclasses.field(default=1, metadata={})


def test_values_are_converted_and_refused_as_by_the_nodes():
    assert of.build(Example, {"size": 2, "name": 123, "other": 0}) == Example(2.0, "123")
    for values in ({"size": 9.0}, {"size": "big"}, {"count": 1.5}, {"count": True}):
        with pytest.raises(ParameterError, match="parameter"):
            of.build(Example, values)


def test_what_a_start_forces_is_known():
    simulated = Settings(True, 3, ros_domain="3", run_dir="/run/x")
    assert simulated.forced("arm")["dds_domain"] == 3
    assert simulated.forced("arm")["dds_interface"] == "lo"
    assert simulated.forced("head")["port"] == "/run/x/neck"
    robot_side = Settings(False, 0, run_dir="/run/x", interface="enp3s0")
    assert robot_side.forced("arm")["dds_interface"] == "enp3s0"
    assert "port" not in robot_side.forced("head")


def test_settings_travel_as_json():
    assert Settings.from_json(ROBOT.to_json()) == ROBOT


# -- the command -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["--params-file", "/nowhere.yaml"],
        ["--sim", "--interface", "eth0"],
        ["--dds-domain", "999"],
        ["--json", "/nowhere/at/all.json"],
        ["--probe", "nothing"],
    ],
)
def test_wrong_usage_is_code_2(words, capsys):
    try:
        code = cli.main(["doctor", *words])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert "error" in capsys.readouterr().err


@pytest.mark.parametrize(("facts", "code"), [(GOOD, 0), (GOOD | {"robot": SILENT}, 1)])
def test_the_command_prints_counts_writes_and_returns(monkeypatch, capsys, tmp_path, facts, code):
    monkeypatch.setattr(command.runner, "collect", lambda asked: (replace(asked, nodes=NODES, ros_domain="42"), facts))
    file = tmp_path / "doctor.json"
    assert cli.main(["doctor", "--json", str(file)]) == code
    said = capsys.readouterr().out
    data = json.loads(file.read_text())
    assert data["exit_code"] == code
    assert len(data["findings"]) == len([c for c in CHECKS if not PROBES[c.probe].sim_only])
    assert f"{len(data['findings'])} checks in" in said
    assert "\x1b" not in said


def test_colours_are_for_terminals(monkeypatch, tmp_path):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(command.runner, "collect", lambda asked: (replace(asked, nodes=NODES), GOOD))
    monkeypatch.setattr(command.sys, "stdout", terminal)
    cli.main(["doctor"])
    assert "\x1b[32mok" in terminal.getvalue()
