"""Doing, in simulation: rooms with a task in them, an expert that does it, and episodes in lockstep.

settings (what stands where, what is asked) ──► lockstep (robot, controllers, gate) ◄── expert
                                                   └──► progress (what has come of it, read from the physics)
"""
