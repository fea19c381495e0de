"""The package: ament_python for colcon, and pip-installable with the ROS 2 wheels of PyPI where there is no ROS."""

from glob import glob

from setuptools import find_packages, setup

NAME = "sapave_ros"

NODES = ("camera", "inference", "head", "arm", "teleop", "watchdog", "monitor")

setup(
    name=NAME,
    version="0.1.0",
    description="SaPaVe on a Unitree G1: a policy that decides where to look and what to do, as ROS 2 nodes",
    license="Apache-2.0",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    python_requires=">=3.10,<3.14",
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", glob("launch/*.launch.py")),
        (f"share/{NAME}/config", glob("config/*")),
        (f"share/{NAME}/models", glob("models/*.onnx")),
        (f"share/{NAME}/models/g1", glob("models/g1/*")),
    ],
    # What the nodes need on a robot, ROS itself and Unitree's SDK excepted.
    install_requires=[
        "numpy>=1.24",
        "pyyaml",
        "psutil",
        "onnxruntime>=1.17",
        "opencv-python-headless>=4.7",
        "ruckig>=0.12",
        # Only the hands by joystick need it: inverse kinematics (apt: ros-*-pinocchio).
        "pin>=2.7",
        "dynamixel-sdk>=4.0.5",
        "pyserial",
        # On a Jetson librealsense is built from source (its wheels for Arm do not load there).
        "pyrealsense2>=2.55; platform_machine == 'x86_64'",
    ],
    extras_require={
        # Real rclpy and Fast DDS (Jazzy) as wheels, for machines without a ROS installation.
        "ros": ["ros-rclpy[fastrtps]==7.1.6", "ros-common-interfaces==5.3.6"],
        # The simulated G1. cyclonedds 11 never joins a robot's network (sapave_ros/drivers/unitree_sdk.py).
        "sim": ["mujoco>=3.17", "cyclonedds==11.0.1", "matplotlib", "imageio", "imageio-ffmpeg", "tqdm"],
        # Recording (`sapave record`) and reading bags.
        "bag": ["mcap>=1.6"],
        # Evaluating a policy on bags (`sapave eval`).
        "eval": ["mcap>=1.6", "matplotlib", "tqdm"],
        # Watching in a browser (`sapave watch`). Rerun changes with its versions; Python 3.10 has none past 0.39.
        "watch": ["rerun-sdk>=0.39,<0.42", "mcap>=1.6"],
        # Recordings as a data set (`sapave dataset`).
        "dataset": ["mcap>=1.6", "pyarrow>=15", "imageio-ffmpeg", "tqdm"],
        "train": ["torch>=2.6", "onnx", "onnxscript", "tensorboard", "tqdm", "mujoco>=3.17", "pyarrow>=15"],
        # A pretrained vision-language model as the backbone (sapave_ros/learning/backbones/vlm.py).
        "vlm": ["transformers>=5.0", "peft>=0.18", "pillow"],
        # Past one machine: `sapave data --ray ADDRESS`, `sapave eval --ray ADDRESS`.
        "cluster": ["ray>=2.9"],
        "gpu": ["onnxruntime-gpu>=1.17"],
        "test": [
            "pytest",
            "pytest-cov",
            "pytest-timeout",
            "mutmut>=3.8",
            "hypothesis",
            "rosbags",
            "transforms3d",
            "ruff",
            "mypy",
            "types-PyYAML",
            "types-psutil",
            "transformers>=5.0",
            "peft>=0.18",
            "pillow",
        ],
    },
    entry_points={
        "console_scripts": [
            "sapave = sapave_ros.cli:main",
            "sapave_sim = sapave_ros.sim.main:main",
            *(f"{node}_node = sapave_ros.nodes.{node}:main" for node in NODES),
        ]
    },
    zip_safe=False,
)
