"""Start here: the whole system as tables. Who runs, what flows, how fast, and when it is too old.

Launch files, `sapave up`, the nodes, the watchdog, the recorder, the tests and README's tables all read this file;
nothing else names a topic, a rate or a staleness bound.

    camera ──► inference ──► head ──► neck servos (Dynamixel bus)
                   └───────► arm  ──► SDK process ──► G1 arms and hands (Unitree DDS)
    joy ─► teleop ─┴──────► head, arm                (a person instead of the policy, group by group)
    watchdog ──► permit ──► head, arm          (no fresh permit, no motion)
    everyone ──► health ──► watchdog           (what is wrong, and a node that says nothing is wrong too)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Qos(Enum):
    """The delivery contracts in use; `nodes/ros.py` turns them into rclpy profiles.

    Of joints every sample counts: a picture has the two around its exposure, also where a node has just been busy.
    """

    SENSOR = "best effort, newest 5"
    SAMPLES = "best effort, newest 50"
    COMMAND = "reliable, newest 1"
    EVENT = "reliable, newest 10"
    LATCHED = "reliable, newest 1, kept for late joiners"


@dataclass(frozen=True)
class Stream:
    """One topic.

    type: `package/Message`. publishers, subscribers: node names; `*` is anyone (a person, rviz, a
    recorder). rate_hz: while active, None for events. stale_after_s: age at which the stream counts as
    dead for the watchdog and its readers, None where age means nothing.
    """

    topic: str
    type: str
    publishers: tuple[str, ...]
    subscribers: tuple[str, ...]
    qos: Qos
    rate_hz: float | None
    stale_after_s: float | None
    meaning: str


@dataclass(frozen=True)
class Service:
    """One service of type std_srvs/Trigger."""

    name: str
    server: str
    meaning: str


@dataclass(frozen=True)
class Process:
    """One process of the graph.

    module: started as `python -m module` by bringup; its console script is `script`. ros: whether it is
    a ROS node (the simulated robot is not). sim_only: runs only in simulation. parameters: what the node is
    told at every start, sim_parameters: in simulation besides; {run_dir}, {dds_domain} and {mode} are those of the run.
    """

    name: str
    module: str
    script: str
    purpose: str
    ros: bool = True
    sim_only: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict)
    sim_parameters: Mapping[str, str] = field(default_factory=dict)


READY = "ready"
"""Every process prints one line `NAME: ready` on stdout when its inputs and outputs are open."""

IMAGE = "sensor_msgs/Image"

COLOR = "/camera/color/image_raw"
DEPTH = "/camera/aligned_depth_to_color/image_raw"
CAMERA_INFO = "/camera/color/camera_info"
JOINT_STATES = "/joint_states"
INSTRUCTION = "/sapave/instruction"
FOLLOWED = "/sapave/instruction/followed"
HEAD_INCREMENTS = "/sapave/head/increments"
ARM_INCREMENTS = "/sapave/arms/increments"
HEAD_COMMAND = "/sapave/head/command"
ARM_COMMAND = "/sapave/arms/command"
TELEOP_HEAD_INCREMENTS = "/sapave/teleop/head/increments"
TELEOP_ARM_INCREMENTS = "/sapave/teleop/arms/increments"
TAKEOVER = "/sapave/teleop/takeover"
JOY = "/joy"
REMOTE = "/sapave/remote"
HEALTH = "/sapave/health"
PERMIT = "/sapave/permit"
ESTOP = "/sapave/estop"
GROUNDING = "/sapave/grounding"
DIAGNOSTICS = "/diagnostics"

CLOCK = "/clock"
"""ROS time where nodes have `use_sim_time`; only a replay publishes it."""

REPLAY = "/replay"
"""What comes from a bag stands below this (`bag/replayed.py`), and so does what a replay itself says and serves."""

REPLAY_STATUS = f"{REPLAY}/status"
REPLAY_PAUSE_SERVICE = f"{REPLAY}/pause"
REPLAY_RESUME_SERVICE = f"{REPLAY}/resume"

MONITOR_MARKERS = "/sapave/monitor/markers"
MONITOR_CLOUD = "/sapave/monitor/cloud"
MONITOR_PATHS = {name: f"/sapave/monitor/path/{name}" for name in ("left_hand", "right_hand", "gaze")}

ARM_SERVICE = "/sapave/arm"
DISARM_SERVICE = "/sapave/disarm"
RESET_SERVICE = "/sapave/reset"
HEAD_HOME_SERVICE = "/sapave/head/home"
HEAD_REBOOT_SERVICE = "/sapave/head/reboot"
ARMS_HOME_SERVICE = "/sapave/arms/home"
ARMS_REST_SERVICE = "/sapave/arms/rest"
EPISODE_START_SERVICE = "/sapave/record/start"
EPISODE_STOP_SERVICE = "/sapave/record/stop"
EPISODE_SUCCESS_SERVICE = "/sapave/record/success"
EPISODE_FAILURE_SERVICE = "/sapave/record/failure"
EPISODE_DISCARD_SERVICE = "/sapave/record/discard"
EPISODE_SERVICES = {
    "start": EPISODE_START_SERVICE,
    "stop": EPISODE_STOP_SERVICE,
    "success": EPISODE_SUCCESS_SERVICE,
    "failure": EPISODE_FAILURE_SERVICE,
    "discard": EPISODE_DISCARD_SERVICE,
}
"""What `sapave episode` asks for, by its word."""

RECORDER = "record"
"""Node of `sapave record`: not a process of the graph, which runs with it or without."""

MONITOR = "monitor"
"""Node of `sapave monitor`: it listens, and the graph runs with it or without."""

CAMERA_HZ = 30.0
INFERENCE_HZ = 7.5  # every fourth picture
HEAD_LOOP_HZ = 100.0
ARM_LOOP_HZ = 250.0
PERMIT_HZ = 50.0
PERMIT_STALE_AFTER_S = 0.1
TELEOP_HZ = 50.0
HEALTH_HZ = 10.0
MONITOR_HZ = 10.0
CLOUD_HZ = 5.0

STREAMS: tuple[Stream, ...] = (
    Stream(COLOR, IMAGE, ("camera",), ("inference",), Qos.SENSOR, CAMERA_HZ, 0.3,
           "rgb8, stamped at exposure"),
    Stream(DEPTH, IMAGE, ("camera",), ("inference",), Qos.SENSOR, CAMERA_HZ, 0.3,
           "16UC1 in mm on the colour image, same stamp; 0 = no depth"),
    Stream(CAMERA_INFO, "sensor_msgs/CameraInfo", ("camera",), ("inference", "watchdog"), Qos.SENSOR, CAMERA_HZ, 0.5,
           "intrinsics, same stamp; its age is the age of the camera"),
    Stream(JOINT_STATES, "sensor_msgs/JointState", ("head", "arm"), ("inference", "watchdog", "*"), Qos.SAMPLES, 50.0,
           0.3, "measured positions; each controller publishes its own joints"),
    Stream(INSTRUCTION, "std_msgs/String", ("*",), ("inference", "watchdog"), Qos.LATCHED, None, None,
           "what to do now; empty = nothing"),
    Stream(FOLLOWED, "std_msgs/String", ("inference",), ("*",), Qos.LATCHED, None, None,
           "the instruction in force: whoever joins or records later is told, though who gave it is gone"),
    Stream(HEAD_INCREMENTS, "trajectory_msgs/JointTrajectory", ("inference",), ("head", "watchdog"), Qos.COMMAND,
           INFERENCE_HZ, 1.0, "one action chunk of the neck: 2 joints"),
    Stream(ARM_INCREMENTS, "trajectory_msgs/JointTrajectory", ("inference",), ("arm", "watchdog"), Qos.COMMAND,
           INFERENCE_HZ, None, "one action chunk of arms and hands: any of 26 joints"),
    Stream(HEAD_COMMAND, "sensor_msgs/JointState", ("head",), ("*",), Qos.SENSOR, 50.0, None,
           "positions commanded after the gate"),
    Stream(ARM_COMMAND, "sensor_msgs/JointState", ("arm",), ("*",), Qos.SENSOR, 50.0, None,
           "positions commanded after the gate"),
    Stream(TELEOP_HEAD_INCREMENTS, "trajectory_msgs/JointTrajectory", ("teleop",), ("head",), Qos.COMMAND,
           TELEOP_HZ, None, "as above, from a person: short chunks, so that silence comes to rest"),
    Stream(TELEOP_ARM_INCREMENTS, "trajectory_msgs/JointTrajectory", ("teleop",), ("arm",), Qos.COMMAND,
           TELEOP_HZ, None, "as above, from a person"),
    Stream(TAKEOVER, "diagnostic_msgs/DiagnosticStatus", ("teleop",), ("watchdog", "*"), Qos.COMMAND, 25.0, 0.2,
           "which groups a person has taken, whether the deadman is held, the stop button of the joystick"),
    Stream(JOY, "sensor_msgs/Joy", ("*",), ("teleop", "*"), Qos.EVENT, None, 0.3,
           "the joystick, as `joy_node` publishes it (20 Hz and with every change)"),
    Stream(REMOTE, "sensor_msgs/Joy", ("arm",), ("teleop", "*"), Qos.SENSOR, 25.0, 0.3,
           "the Unitree remote, from the bytes in LowState; serves where there is no joystick"),
    Stream(HEALTH, "diagnostic_msgs/DiagnosticStatus", ("head", "arm", "camera", "inference", "teleop"),
           ("watchdog", "*"), Qos.EVENT, HEALTH_HZ, 0.5,
           "what a node finds wrong, one report each, at once with any change; silence counts as wrong"),
    Stream(PERMIT, "diagnostic_msgs/DiagnosticStatus", ("watchdog",), ("head", "arm", "teleop", "*"), Qos.COMMAND,
           PERMIT_HZ, PERMIT_STALE_AFTER_S, "state, reason, what each controller may do, and whose chunks it follows"),
    Stream(ESTOP, "std_msgs/Bool", ("*",), ("watchdog",), Qos.LATCHED, None, None,
           "true stops everything until a reset"),
    Stream(GROUNDING, IMAGE, ("inference",), ("*",), Qos.SENSOR, INFERENCE_HZ, None,
           "mono8, where in the picture the policy sees what it was told; same stamp as its picture"),
    Stream(DIAGNOSTICS, "diagnostic_msgs/DiagnosticArray",
           ("watchdog", "inference", "head", "arm", "camera", "teleop"), ("*",), Qos.EVENT, 1.0, None,
           "health and timing of every node"),
)  # fmt: skip

MONITOR_STREAMS: tuple[Stream, ...] = (
    # For people to look at: nobody of the graph reads them, and no bag has them, for they follow from what it has.
    Stream(MONITOR_MARKERS, "visualization_msgs/MarkerArray", (MONITOR,), ("*",), Qos.EVENT, MONITOR_HZ, None,
           "the robot as commanded, what the camera sees and looks at, the state and its reason"),
    Stream(MONITOR_CLOUD, "sensor_msgs/PointCloud2", (MONITOR,), ("*",), Qos.SENSOR, CLOUD_HZ, None,
           "depth in torso_link, coloured, thinned out; stamped at exposure"),
    *(Stream(topic, "nav_msgs/Path", (MONITOR,), ("*",), Qos.COMMAND, MONITOR_HZ, None,
             f"where the chunks will take the {name.replace('_', ' ')}, as the controllers read them")
      for name, topic in MONITOR_PATHS.items()),
    Stream(DIAGNOSTICS, "diagnostic_msgs/DiagnosticArray", (MONITOR,), ("*",), Qos.EVENT, 1.0, None,
           "`sapave/latency`: exposure to inference to command to motion, stage by stage"),
)  # fmt: skip

SERVICES: tuple[Service, ...] = (
    Service(ARM_SERVICE, "watchdog", "STANDBY or HOLD to ACTIVE: the robot may move"),
    Service(DISARM_SERVICE, "watchdog", "any state but ESTOP to STANDBY: stop, arms back to the robot"),
    Service(RESET_SERVICE, "watchdog", "ESTOP to STANDBY, once its cause is gone"),
    Service(HEAD_HOME_SERVICE, "head", "in ACTIVE: look straight ahead, slowly"),
    Service(HEAD_REBOOT_SERVICE, "head", "restart servos that gave up with an error; they hold again once armed"),
    Service(ARMS_HOME_SERVICE, "arm", "in ACTIVE: forearms ahead, ready to work, slowly"),
    Service(ARMS_REST_SERVICE, "arm", "in ACTIVE: arms hanging, hands open, slowly"),
    Service(EPISODE_START_SERVICE, RECORDER, "`sapave record --episodes`: begin an episode, a bag of its own"),
    Service(EPISODE_STOP_SERVICE, RECORDER, "end the episode without a verdict"),
    Service(EPISODE_SUCCESS_SERVICE, RECORDER, "end the episode: it went well"),
    Service(EPISODE_FAILURE_SERVICE, RECORDER, "end the episode: it did not"),
    Service(EPISODE_DISCARD_SERVICE, RECORDER, "end the episode and remove its bag"),
)

PROCESSES: tuple[Process, ...] = (
    # In starting order; stopped in reverse.
    Process("sim", "sapave_ros.sim.main", "sapave_sim",
            "the stand-in robot: MuJoCo behind Unitree DDS, a servo bus and a camera", ros=False, sim_only=True),
    Process("watchdog", "sapave_ros.nodes.watchdog", "watchdog_node",
            "watches every stream and gives or withholds the permit"),
    Process("head", "sapave_ros.nodes.head", "head_node", "moves the neck: the only writer of the servo bus",
            parameters={"mode": "{mode}"}, sim_parameters={"port": "{run_dir}/neck"}),
    Process("arm", "sapave_ros.nodes.arm", "arm_node", "moves arms and hands: the only writer of the Unitree topics",
            parameters={"mode": "{mode}", "dds_domain": "{dds_domain}"}, sim_parameters={"dds_interface": "lo"}),
    Process("teleop", "sapave_ros.nodes.teleop", "teleop_node",
            "a person's joystick to increments: takes over head or arms while the policy keeps the other"),
    Process("camera", "sapave_ros.nodes.camera", "camera_node", "RGB, aligned depth and intrinsics of the head camera",
            sim_parameters={"source": "sim", "ring": "{run_dir}/camera"}),
    Process("inference", "sapave_ros.nodes.inference", "inference_node",
            "the policy: pictures and an instruction to action chunks"),
)  # fmt: skip


def exposure_period_s(rate_hz: float) -> float:
    """Between two exposures that are inferred from, at least [s].

    Half a frame of tolerance: a period that is a whole number of frames must not slip to the next frame.
    """
    return 1.0 / rate_hz - 0.5 / CAMERA_HZ


def process(name: str) -> Process:
    """The process of that name; KeyError lists the names there are."""
    for p in PROCESSES:
        if p.name == name:
            return p
    raise KeyError(f"no process {name!r}; there are {', '.join(p.name for p in PROCESSES)}")


def process_has_pictures(name: str) -> bool:
    """Whether the process of that name sends or takes pictures."""
    return any(s.type == IMAGE and name in (*s.publishers, *s.subscribers) for s in STREAMS)


def stream(topic: str) -> Stream:
    """The stream on that topic; KeyError lists the topics there are."""
    for s in STREAMS:
        if s.topic == topic:
            return s
    raise KeyError(f"no stream {topic!r}; there are {', '.join(s.topic for s in STREAMS)}")
