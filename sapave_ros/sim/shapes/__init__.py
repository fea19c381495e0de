"""Builders of the catalogue's shapes, by category; the ten kinds of `sim.objects` are there."""

from sapave_ros.sim.parts import Builder
from sapave_ros.sim.shapes import desk, food, household, kitchen, tools, toys, vessels

BUILDERS: dict[str, Builder] = {
    **vessels.BUILDERS,
    **kitchen.BUILDERS,
    **tools.BUILDERS,
    **food.BUILDERS,
    **toys.BUILDERS,
    **desk.BUILDERS,
    **household.BUILDERS,
}
"""By name of the kind, in no order that matters."""
