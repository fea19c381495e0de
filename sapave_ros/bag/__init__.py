"""The graph's streams in rosbag2 bags (MCAP): written, read, damaged ones too, and played. No ROS in here.

subscriber ──► Recorder.put ──► bounded room ──► thread ──► BagWriter ──► NAME/NAME_0.mcap, ..., metadata.yaml
                                                                              └──► Bag (reader)
Bag ──► thread ──► bounded room (ReadAhead) ──► Player.next: what is due now ──► publisher
"""
