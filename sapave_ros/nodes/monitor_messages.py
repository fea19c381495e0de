"""What is watched as messages that rviz and every other ROS tool can show."""

from __future__ import annotations

import array
from collections.abc import Mapping

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import Point, PoseStamped
from nav_msgs.msg import Path as PathMsg
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from sapave_ros import g1
from sapave_ros.core import urdf
from sapave_ros.core.kinematics import CAMERA, TORSO, Kinematics
from sapave_ros.monitor.banner import Banner, Level
from sapave_ros.monitor.eyes import Cloud
from sapave_ros.monitor.latency import Budget
from sapave_ros.monitor.quaternion import quaternion_xyzw
from sapave_ros.monitor.scene import GAZE, Path, View
from sapave_ros.nodes import ros
from sapave_ros.types import Floats

LIFETIME_S = 0.5
"""What is not said again for so long [s] is shown no longer: a picture of the past must not pass for the present."""

GHOST, FRUSTUM, BANNER = "ghost", "frustum", "banner"
"""Namespaces of the markers, with `GAZE`: what rviz switches on and off by itself."""

GHOST_SCALE = 1.04
"""The ghost is a little larger than the robot: where both are, it is seen around it."""

_BLUE = (0.25, 0.55, 1.0)
_ORANGE = (1.0, 0.55, 0.16)
_LEVELS = {Level.GOOD: (0.35, 0.85, 0.4), Level.WAITING: (1.0, 0.8, 0.2), Level.BAD: (1.0, 0.3, 0.25)}
_KINDS = {"box": Marker.CUBE, "cylinder": Marker.CYLINDER, "sphere": Marker.SPHERE}
_BANNER_M = (0.0, 0.0, 0.75)
_TEXT_M, _LINE_M, _GAZE_M = 0.05, 0.004, 0.03


class Markers:
    """Markers of one robot; those of the ghost are made once and moved."""

    def __init__(self, kinematics: Kinematics) -> None:
        standing = kinematics.links_in_frame(TORSO, {})
        self._bodies = [b for b in urdf.read_shapes(g1.model_path(), "collision") if b.link not in standing]
        self._ghost = [_marker(GHOST, i, _KINDS[b.kind], _BLUE, 0.35) for i, b in enumerate(self._bodies)]
        for marker, body in zip(self._ghost, self._bodies):
            marker.scale.x, marker.scale.y, marker.scale.z = (GHOST_SCALE * size for size in body.size)

    def message(self, view: View) -> MarkerArray:
        """What of a view is drawn; what it does not have ends by its lifetime."""
        shown = []
        for marker, body in zip(self._ghost, self._bodies):
            if body.link in view.ghost:
                _place(marker, view.ghost[body.link] @ body.shape_in_link)
                shown.append(marker)
        if view.frustum is not None:
            shown.append(_frustum(view.frustum))
        if view.gaze is not None:
            shown += _gaze(view.links[CAMERA][:3, 3], view.gaze)
        shown.append(_banner(view.banner))
        stamp = ros.to_msg_time(view.now_s)
        for marker in shown:
            marker.header.stamp = stamp
        return MarkerArray(markers=shown)


def path_msg(path: Path | None, now_s: float) -> PathMsg:
    """A path as one; without one an empty one, which ends what is shown."""
    msg = PathMsg()
    msg.header.frame_id, msg.header.stamp = TORSO, ros.to_msg_time(now_s)
    if path is not None:
        for time_s, point in zip(path.times_s, path.points_in_torso.tolist()):
            pose = PoseStamped()
            pose.header.frame_id, pose.header.stamp = TORSO, ros.to_msg_time(time_s)
            pose.pose.position.x, pose.pose.position.y, pose.pose.position.z = point
            msg.poses.append(pose)
    return msg


def cloud_msg(cloud: Cloud) -> PointCloud2:
    """x, y, z in torso_link as float32 and, where there are colours, rgb as rviz reads it: packed into a float32."""
    n = len(cloud.points_in_torso)
    names = ["x", "y", "z"] + ["rgb"] * (cloud.colours is not None)
    columns = np.empty((n, len(names)), np.float32)
    columns[:, :3] = cloud.points_in_torso
    if cloud.colours is not None:
        r, g, b = cloud.colours.astype(np.uint32).T
        columns[:, 3] = (r << 16 | g << 8 | b).view(np.float32)
    msg = PointCloud2(height=1, width=n, is_bigendian=False, is_dense=True)
    msg.header.frame_id, msg.header.stamp = TORSO, ros.to_msg_time(cloud.stamp_s)
    msg.fields = [
        PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, name in enumerate(names)
    ]
    msg.point_step = columns.itemsize * len(names)
    msg.row_step = msg.point_step * n
    data = array.array("B")  # any other type makes rclpy convert it byte by byte
    data.frombytes(columns.tobytes())
    msg.data = data
    return msg


def latency_status(budgets: Mapping[str, Budget]) -> DiagnosticStatus:
    """The latency budget of every group whose chunks lead to commands."""
    values: dict[str, object] = {}
    for name, budget in budgets.items():
        values |= {f"{name}_{stage}_ms": seconds * 1e3 for stage, seconds in budget.stages_s.items()}
        values[f"{name}_whole_ms"] = budget.whole_s * 1e3
        values[f"{name}_worst_to_command_ms"] = budget.worst_s * 1e3
        values[f"{name}_chunks"] = budget.chunks
    message = "; ".join(f"{name}: {said(budget)}" for name, budget in budgets.items())
    return ros.status("sapave/latency", DiagnosticStatus.OK, message or "no chunk is followed", values)


def said(budget: Budget) -> str:
    """The whole of a budget in words."""
    end = "motion" if "motion" in budget.stages_s else "command"
    return f"{budget.whole_s * 1e3:.0f} ms from exposure to {end}"


def _marker(namespace: str, number: int, kind: int, colour: tuple[float, float, float], alpha: float) -> Marker:
    marker = Marker(ns=namespace, id=number, type=kind, action=Marker.ADD, color=_rgba(colour, alpha))
    marker.header.frame_id = TORSO
    marker.pose.orientation.w = 1.0
    marker.lifetime = ros.to_msg_duration(LIFETIME_S)
    return marker


def _rgba(colour: tuple[float, float, float], alpha: float) -> ColorRGBA:
    r, g, b = colour
    return ColorRGBA(r=r, g=g, b=b, a=alpha)


def _frustum(points: Floats) -> Marker:
    marker = _marker(FRUSTUM, 0, Marker.LINE_LIST, _ORANGE, 1.0)
    marker.scale.x = _LINE_M
    apex, *corners = [_point(p) for p in points.tolist()]
    for corner, following in zip(corners, corners[1:] + corners[:1]):
        marker.points += [apex, corner, corner, following]
    return marker


def _gaze(camera: Floats, gaze: Floats) -> list[Marker]:
    line, end = _marker(GAZE, 0, Marker.LINE_STRIP, _ORANGE, 0.6), _marker(GAZE, 1, Marker.SPHERE, _ORANGE, 0.9)
    line.scale.x = _LINE_M
    line.points = [_point(camera.tolist()), _point(gaze.tolist())]
    end.scale.x = end.scale.y = end.scale.z = _GAZE_M
    end.pose.position = _point(gaze.tolist())
    return [line, end]


def _banner(banner: Banner) -> Marker:
    marker = _marker(BANNER, 0, Marker.TEXT_VIEW_FACING, _LEVELS[banner.level], 1.0)
    marker.scale.z = _TEXT_M
    marker.pose.position = _point(list(_BANNER_M))
    marker.text = "\n".join(banner.lines())
    return marker


def _point(xyz: list[float]) -> Point:
    x, y, z = xyz
    return Point(x=x, y=y, z=z)


def _place(marker: Marker, pose: Floats) -> None:
    position, orientation = marker.pose.position, marker.pose.orientation
    position.x, position.y, position.z = pose[:3, 3].tolist()
    orientation.x, orientation.y, orientation.z, orientation.w = quaternion_xyzw(pose[:3, :3])
