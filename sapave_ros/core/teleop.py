"""A person at a joystick: what is taken from the policy, whether it moves, and when that ends.

Everything here leads to less motion than before where something is unclear: a joystick that falls silent, or repeats
itself, holds what is taken; what is not permitted any more is no longer taken; a stick moves nothing until it has been
seen at rest. Only a held deadman moves anything, and only what was taken while it was held.
"""

from __future__ import annotations

from collections.abc import Sequence

from sapave_ros import g1, graph
from sapave_ros.core.controller import permit_age_s
from sapave_ros.core.faults import Fault
from sapave_ros.core.jog import Limb, TeleopParameters, Way, Wish
from sapave_ros.core.pads import Controls, Pad, shaped
from sapave_ros.core.supervisor import State
from sapave_ros.types import Grip, Permit, Takeover

STOP_SHOWS_S = 0.2
"""A stop button pressed for a moment is told this long [s]: ten messages, of which one reaches the watchdog."""

AGAIN_AFTER_S = 0.1
"""A button pressed again sooner than this [s] bounced, or is an old message heard twice."""

SETTLE_S = 0.25
"""What has just been taken in motion comes to rest first [s]: the longest stop within the limits takes 0.23 s. A chunk
would call it back to where it was taken."""

JOY_STALE_AFTER_S = graph.stream(graph.JOY).stale_after_s or 0.0


class Teleop:
    """One person, one joystick. Times are monotonic [s].

    limb, way, joint: what the sticks move. remark: the newest word to the person, and why.
    """

    def __init__(self, config: TeleopParameters) -> None:
        self.config = config
        self.limb, self.way, self.joint = Limb.HEAD, Way.ALONG, 0
        self.remark = "nobody has taken anything"
        self._taken = {"head": False, "arms": False}
        self._taken_s = {"head": -1e9, "arms": -1e9}
        self._pad: Pad | None = None
        self._controls = Controls()
        self._heard_s = self._stop_s = self._news_s = self._stamp_s = -1e9
        self._raw: tuple[tuple[float, ...], tuple[int, ...]] | None = None
        self._deadman = self._believed = False
        self._armed: set[str] = set()
        self._pressed_s: dict[str, float] = {}
        self._lost, self._malformed = "", ""
        self._permitted = "no permit yet"

    # ---- what comes in ----

    def hear(self, pad: Pad, axes: Sequence[float], buttons: Sequence[int], now_s: float, stamp_s: float = 0.0) -> None:
        """One message of the joystick. stamp_s: of its header [s], 0 where it has none; a message heard twice counts
        once. A joystick that comes back is believed from where its deadman has been seen released."""
        gone = pad is not self._pad or now_s - self._heard_s > JOY_STALE_AFTER_S
        if stamp_s and not gone and stamp_s <= self._stamp_s:
            return
        raw = (tuple(axes), tuple(buttons))
        if raw != self._raw or gone:
            self._news_s = now_s
        self._raw, self._pad, self._heard_s, self._stamp_s = raw, pad, now_s, stamp_s
        before, held_before = self._controls, self._deadman
        try:
            self._controls, self._malformed = pad.read(*raw), ""
        except ValueError as error:
            self._controls, self._malformed = Controls(), str(error)
            gone = True
        pressed = self._controls.pressed
        if "stop" in pressed:
            self._stop_s = now_s
        self._believed = not self._malformed and ((self._believed and not gone) or "deadman" not in pressed)
        self._deadman = self._believed and "deadman" in pressed
        self._arm_at_rest()
        if self._deadman and held_before:
            for button in sorted(pressed - before.pressed):
                self._press(button, now_s)

    def permit(self, permit: Permit | None, now_s: float) -> None:
        """The newest permit: what is taken stays taken only while it says ACTIVE or TELEOP.

        Without a fresh one everything stands. Whether it was given back is for the next permit to say: the policy must
        not go on because this node, or the watchdog, stood still for a moment.
        """
        if permit is None or permit_age_s(permit, now_s) > graph.PERMIT_STALE_AFTER_S:
            self._permitted = "no fresh permit"
            return
        movable = permit.state in (State.ACTIVE.name, State.TELEOP.name)
        self._permitted = "" if movable else f"{permit.state}: {permit.reason}"
        if not movable and any(self._taken.values()):
            self._taken = dict.fromkeys(self._taken, False)
            self.remark = f"the takeover has ended: {self._permitted}"
        if not any(self._taken.values()):
            self._lost = ""

    # ---- what follows ----

    def update(self, now_s: float) -> tuple[Takeover, Wish | None]:
        """What to say of the person now, and what they want to move; None where nothing may."""
        trouble = self._trouble(now_s)
        if trouble and any(self._taken.values()):
            self._lost = self._lost or trouble
        moving = self._deadman and not (trouble or self._lost or self._permitted)
        if not moving:
            self._armed.clear()
        elif self._repeats(now_s):
            # A wireless pad out of reach: its driver repeats for ever what it heard last.
            self._armed.clear()
            self.remark = f"the pad says the same for {now_s - self._news_s:.1f} s: let the sticks go once"
        grips = {group: self._grip(group, moving, now_s) for group in self._taken}
        takeover = Takeover(now_s, grips["head"], grips["arms"], self._stop(now_s, trouble))
        return takeover, self._wish() if grips[self.limb.group] is Grip.MOVE else None

    @property
    def urgent(self) -> tuple[bool, bool]:
        """Deadman and stop button: what is told at once when it changes."""
        return self._deadman, "stop" in self._controls.pressed

    @property
    def moves(self) -> str:
        """What the sticks move, and how."""
        if self.limb is Limb.HEAD:
            return self.limb.value
        arm = g1.LEFT_ARM if self.limb is Limb.LEFT else g1.RIGHT_ARM
        return f"{self.limb.value}, {self.way.value}{f': {arm.names[self.joint]}' if self.way is Way.JOINT else ''}"

    def findings(self) -> dict[Fault, str]:
        """What is wrong with the joystick while something is taken."""
        return {Fault.JOYSTICK_LOST: self._lost} if self._lost else {}

    def said(self, now_s: float) -> dict[str, object]:
        """For /diagnostics."""
        heard_s = now_s - self._heard_s
        return {
            "taken": ", ".join(group for group, taken in self._taken.items() if taken) or "nothing",
            "sticks move": self.moves,
            "deadman": self._deadman,
            "remark": self.remark,
            "joystick": self._trouble(now_s) or "well",
            "joystick_age_s": heard_s if heard_s < 1e6 else "never heard",
            "pad": self._pad.name if self._pad else "",
        }

    def _grip(self, group: str, moving: bool, now_s: float) -> Grip:
        if not self._taken[group]:
            return Grip.NONE
        return Grip.MOVE if moving and now_s - self._taken_s[group] >= SETTLE_S else Grip.HOLD

    def _stop(self, now_s: float, trouble: str) -> bool:
        down = "stop" in self._controls.pressed and not trouble
        return down or now_s - self._stop_s < STOP_SHOWS_S

    def _trouble(self, now_s: float) -> str:
        """Why the joystick says nothing that counts, or nothing."""
        age_s = now_s - self._heard_s
        if not age_s <= JOY_STALE_AFTER_S:
            if self._pad is None:
                return "no joystick has been heard"
            return f"the joystick is silent for {age_s:.2f} s, at most {JOY_STALE_AFTER_S:g}"
        return self._malformed

    def _repeats(self, now_s: float) -> bool:
        """Whether something is moved by a pad that repeats itself."""
        away = any(abs(self._controls.moving[name]) > self.config.dead_zone for name in self._armed)
        return away and now_s - self._news_s > self.config.repeats_s

    def _wish(self) -> Wish:
        config, controls = self.config, self._controls
        speed = 1.0 if "fast" in controls.pressed else config.slow_share
        pace = {
            name: speed * shaped(value, config.dead_zone, config.expo) if name in self._armed else 0.0
            for name, value in controls.moving.items()
        }
        return Wish(self.limb, self.way, self.joint, pace)

    def _arm_at_rest(self) -> None:
        dead_zone = self.config.dead_zone
        self._armed |= {name for name, value in self._controls.moving.items() if abs(value) <= dead_zone}

    # ---- buttons, with the deadman held ----

    def _press(self, button: str, now_s: float) -> None:
        if now_s - self._pressed_s.get(button, -1e9) < AGAIN_AFTER_S:
            return
        self._pressed_s[button] = now_s
        if button in ("take_head", "take_arms"):
            self._take_or_give("head" if button == "take_head" else "arms", now_s)
        elif button == "limb":
            self._next_limb()
        elif button == "way":
            ways = list(Way)
            self.way = ways[(ways.index(self.way) + 1) % len(ways)]
        elif button in ("joint_next", "joint_previous") and self.way is Way.JOINT:
            self.joint = (self.joint + (1 if button == "joint_next" else -1)) % 7
        else:
            return
        if button in ("limb", "way", "joint_next", "joint_previous"):
            self.remark = f"the sticks move: {self.moves}"
        if button in ("take_head", "take_arms", "limb", "way"):
            self._armed.clear()
            self._arm_at_rest()

    def _take_or_give(self, group: str, now_s: float) -> None:
        if self._taken[group]:
            self._taken[group] = False
            self.remark = f"{group} given back"
            if self.limb.group == group:
                self._next_limb()
        elif self._permitted:
            self.remark = f"{group} not taken: {self._permitted}"
        else:
            self._taken[group], self._taken_s[group] = True, now_s
            self.remark = f"{group} taken"
            self.limb = Limb.HEAD if group == "head" else Limb.LEFT

    def _next_limb(self) -> None:
        """The next of what is taken; where nothing is, it stays."""
        limbs = list(Limb)
        for step in range(1, len(limbs) + 1):
            limb = limbs[(limbs.index(self.limb) + step) % len(limbs)]
            if self._taken[limb.group]:
                self.limb = limb
                return
