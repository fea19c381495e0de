"""Recording the graph's streams to rosbag2 bags (MCAP), and reading them, damaged ones too. No ROS in here.

subscriber ──► Recorder.put ──► bounded room ──► thread ──► BagWriter ──► NAME/NAME_0.mcap, ..., metadata.yaml
                                                                              └──► Bag (reader)
"""
