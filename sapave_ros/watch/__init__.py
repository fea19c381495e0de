"""`sapave watch`: the running graph, or a bag, in a browser on this computer, through Rerun. It only listens.

Scene (monitor/) ◄── feed ◄── live node, or bag
  └──► screen ──► viewer: Rerun's server and page, as a process of its own on 127.0.0.1
"""
