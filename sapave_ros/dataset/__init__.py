"""Recordings of the robot as a data set in LeRobot's format v3.0: what imitation is learned from.

bag ──► Recording, Streams ──► episodes ──► frames ──► observations ──► DatasetWriter ──► meta/, data/, videos/
        what came, and when    from, to,    the grid   as the policy    beside its place, and put there when it is whole
                               who, how     of steps   had them live
"""
