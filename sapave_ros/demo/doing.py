"""`sapave demo --task`: a task of ActiveManip-Bench by the real processes, judged by the physics."""

from __future__ import annotations

from pathlib import Path

import mujoco

from sapave_ros.demo.film import Recording
from sapave_ros.demo.monitor import Monitor
from sapave_ros.manipulation.progress import STAGES, Criterion, Progress
from sapave_ros.manipulation.settings import CONDITIONS, Setting
from sapave_ros.manipulation.tasks import TASKS
from sapave_ros.names import known
from sapave_ros.nodes.operator import Operator
from sapave_ros.sim.motors import MotorReader
from sapave_ros.sim.world import World


def setting(task: str, condition: str, seed: int) -> Setting:
    """What stands where. condition: of `CONDITIONS`, or with underscores. Raises ValueError on names that are none."""
    spaced = condition.replace("_", " ")
    known("task", task, TASKS)
    known("condition", spaced, CONDITIONS)
    return TASKS[task].setting(seed, spaced)


def sim_arguments(of: Setting, folder: Path) -> list[str]:
    """Arguments of the simulator, whose scene is written into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "scene.json"
    path.write_text(of.scene.to_json())
    return ["--scene", str(path.resolve()), "--target", of.target]


class TaskMonitor(Monitor):
    """Watches a task. The simulator tells all that moves, tick by tick; here the same world is put into those states,
    and contacts and progress are read from them. progress: how far it has come.
    """

    def __init__(
        self, operator: Operator, run_dir: Path, recording: Recording, observer: bool, of: Setting, task: str
    ) -> None:
        super().__init__(operator, run_dir, recording, observer)
        self._world = World.of(of.scene)
        self._motors = MotorReader(run_dir / "motors")
        self._sequence = 0
        self.progress: Progress = TASKS[task].progress(self._world, of, Criterion())

    def poll(self) -> bool:
        """As `Monitor.poll`."""
        super().poll()
        late = self.elapsed_s > self.limit_s
        if self._began_s is None or late or self._motors.latest == self._sequence:
            return self.progress.success
        motors = self._motors.all_after(self._motors.latest - 1)
        self._sequence = self._motors.latest
        data = self._world.data
        data.qpos[:] = motors.qpos[-1]
        mujoco.mj_forward(self._world.model, data)
        self.progress.update(float(motors.ros_s[-1]) - self._began_s)
        return self.progress.success

    @property
    def success(self) -> bool:
        return self.progress.success

    @property
    def limit_s(self) -> float:
        return self.progress.criterion.time_limit_s

    @property
    def longest_s(self) -> float:
        return self.limit_s + 1.0

    @property
    def verdict(self) -> str:
        """What came of it."""
        if self.success:
            return f"done after {self.progress.at_s['done']:.1f} s"
        came = [stage for stage in STAGES if stage in self.progress.at_s]
        held = f"; {self.recording.held}" if self.recording.held else ""
        return f"not done within {self.limit_s:g} s, but {', '.join(came) or 'not even seen'}{held}"
