"""How a browser shows it: the robot on the left, what it sees, says and does on the right."""

from __future__ import annotations

import rerun.blueprint as rrb

from sapave_ros.watch.screen import PLOTS, TIMELINE


def layout() -> rrb.Blueprint:
    """What Rerun opens with; a person may rearrange it."""
    plots = [rrb.TimeSeriesView(origin=f"joints/{name}", name=name.replace("_", " ")) for name in PLOTS]
    robot = rrb.Spatial3DView(
        origin="torso",
        name="robot",
        background=[24, 26, 30],
        eye_controls=rrb.EyeControls3D(
            position=(-0.9, 1.15, 0.75), look_target=(0.4, -0.05, 0.1), eye_up=(0.0, 0.0, 1.0)
        ),
        line_grid=rrb.LineGrid3D(visible=False),
    )
    return rrb.Blueprint(
        rrb.Horizontal(
            rrb.Vertical(
                robot,
                rrb.StateTimelineView(origin="state/permit", name="state"),
                row_shares=[6, 1],
            ),
            rrb.Vertical(
                rrb.Spatial2DView(origin="torso/camera/image", name="camera, and where the policy looks"),
                rrb.Horizontal(
                    rrb.TextDocumentView(origin="state/banner", name="now"),
                    rrb.TextLogView(origin="log", name="log"),
                ),
                rrb.Tabs(*plots, name="joints [rad]"),
                rrb.TimeSeriesView(origin="latency", name="latency [ms]"),
                row_shares=[4, 2, 3, 2],
            ),
            column_shares=[3, 2],
        ),
        rrb.TimePanel(timeline=TIMELINE, state="collapsed"),
        rrb.BlueprintPanel(state="hidden"),
        rrb.SelectionPanel(state="hidden"),
    )
