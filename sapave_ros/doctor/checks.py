"""The table of what is looked at: probes that collect facts, and the checks that judge them, in the order of report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sapave_ros.doctor.finding import Outcome
from sapave_ros.doctor.judge import camera, company, machine, neck, network, policy, robot, ros, software

Judge = Callable[[Any, Any], Outcome]


@dataclass(frozen=True)
class Probe:
    """function: `module:name` under `doctor.probe`. facts: what it returns. needs: node whose parameters it reads.

    timeout_s: after which it counts as failed [s]; each takes a second or two, and more on an overloaded machine.
    sim_only: in simulation alone.
    """

    function: str
    facts: type
    timeout_s: float = 20.0
    needs: str = ""
    sim_only: bool = False


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    group: str
    name: str
    probe: str
    judge: Judge


PROBES: dict[str, Probe] = {
    "software": Probe("software:software", software.SoftwareFacts, 40.0),
    "parameters": Probe("software:parameters", software.ParameterFacts, 40.0),
    "share": Probe("software:share", software.ShareFacts),
    "graphics": Probe("software:graphics", software.GraphicsFacts, sim_only=True),
    "environment": Probe("ros:environment", ros.EnvironmentFacts),
    "graph": Probe("ros:nodes", ros.GraphFacts),
    "network": Probe("network:network", network.NetworkFacts, needs="arm"),
    "robot": Probe("robot:robot", robot.RobotFacts, 40.0, needs="arm"),
    "neck": Probe("neck:neck", neck.NeckFacts, 30.0, needs="head"),
    "camera": Probe("camera:camera", camera.CameraFacts, needs="camera"),
    "policy": Probe("policy:policy", policy.PolicyFacts, 40.0, needs="inference"),
    "machine": Probe("machine:machine", machine.MachineFacts),
}

FIRST = "parameters"
"""The probe that the others wait for: it reads what they need to know."""

CHECKS: tuple[Check, ...] = (
    Check("software", "python", "software", software.python),
    Check("software", "packages", "software", software.packages),
    Check("software", "package files", "share", software.share),
    Check("software", "parameters", "parameters", software.parameters),
    Check("software", "rendering", "graphics", software.graphics),
    Check("ROS", "distribution", "environment", ros.distro),
    Check("ROS", "domains", "environment", ros.domains),
    Check("ROS", "middleware", "environment", ros.middleware),
    Check("ROS", "discovery", "environment", ros.discovery),
    Check("ROS", "profile of shell", "environment", ros.shell_profile),
    Check("ROS", "Fast DDS profile", "graph", ros.profile),
    Check("ROS", "UDP buffers", "environment", ros.buffers),
    Check("ROS", "alone", "graph", ros.alone),
    Check("ROS", "ROS time", "graph", ros.time),
    Check("robot", "network", "network", network.interface),
    Check("robot", "Unitree SDK", "robot", robot.sdk),
    Check("robot", "robot state", "robot", robot.state),
    Check("robot", "type", "robot", robot.kind),
    Check("robot", "robot clock", "robot", robot.clock),
    Check("robot", "upright", "robot", robot.upright),
    Check("robot", "motors", "robot", robot.motors),
    Check("robot", "motion service", "robot", company.motion_service),
    Check("robot", "other writers", "robot", company.writers),
    Check("robot", "hands", "robot", company.hands),
    Check("neck", "servo port", "neck", neck.port),
    Check("neck", "servos", "neck", neck.servos),
    Check("neck", "head position", "neck", neck.position),
    Check("neck", "latency timer", "neck", neck.latency),
    Check("camera", "camera", "camera", camera.camera),
    Check("policy", "model", "policy", policy.model),
    Check("policy", "inference", "policy", policy.inference),
    Check("policy", "providers", "policy", policy.providers),
    Check("machine", "clock", "machine", machine.clock),
    Check("machine", "cpu governor", "machine", machine.governor),
    Check("machine", "real-time class", "machine", machine.realtime),
    Check("machine", "processor", "machine", machine.load),
    Check("machine", "memory", "machine", machine.memory),
    Check("machine", "disk for logs", "machine", machine.disk),
    Check("machine", "shared memory", "machine", machine.shared_memory),
)
