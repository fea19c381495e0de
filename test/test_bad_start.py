"""A process that cannot do its work says so in one line that names the field, and ends with code 2."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from sapave_ros import graph
from sapave_ros.policy import manifest
from sapave_ros.share import share_path

pytestmark = pytest.mark.e2e


def start(process: str, *parameters: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", graph.process(process).module, "--ros-args"]
    for item in parameters:
        argv += ["-p", item]
    return subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s, env=os.environ, check=False)


def assert_refused(done: subprocess.CompletedProcess[str], process: str, *words: str) -> None:
    errors = [line for line in done.stderr.splitlines() if line.startswith(f"{process}: error: ")]
    assert done.returncode == 2, done.stderr
    assert len(errors) == 1, done.stderr
    for word in words:
        assert word in errors[0]
    assert "Traceback" not in done.stderr
    assert f"{process}: {graph.READY}" not in done.stdout


@pytest.fixture
def model() -> bytes:
    return share_path("models/sapave_nano.onnx").read_bytes()


@pytest.fixture
def broken(tmp_path) -> Path:
    return tmp_path / "broken.onnx"


def test_model_that_is_not_there(ros_domain):
    assert_refused(start("inference", "model:=/nowhere/policy.onnx"), "inference", "model", "/nowhere/policy.onnx")


def test_model_that_is_cut_off(ros_domain, model, broken):
    broken.write_bytes(model[: len(model) // 2])
    assert_refused(start("inference", f"model:={broken}"), "inference", "model", "broken.onnx")


def test_model_for_other_joints(ros_domain, model, broken):
    import onnx

    proto = onnx.load_model_from_string(model)
    entry = next(p for p in proto.metadata_props if p.key == manifest.KEY)
    content = json.loads(entry.value)
    content["head_joints"] = ["neck_pan_joint", *content["head_joints"][1:]]
    entry.value = json.dumps(content)
    broken.write_bytes(proto.SerializeToString())
    assert_refused(
        start("inference", f"model:={broken}"), "inference", "head_joints[0]", "neck_pan_joint", "head_yaw_joint"
    )


def test_model_whose_weights_were_changed(ros_domain, model, broken):
    import onnx

    proto = onnx.load_model_from_string(model)
    tensor = max(proto.graph.initializer, key=lambda t: len(t.raw_data))
    tensor.raw_data = tensor.raw_data[:-4] + b"\x00\x00\x80\x3f"
    broken.write_bytes(proto.SerializeToString())
    assert_refused(start("inference", f"model:={broken}"), "inference", "weights")


@pytest.mark.parametrize(
    ("process", "parameter", "words"),
    [
        ("inference", "rate_hz:=1000.0", ("rate_hz", "1000.0", "0.5..60 Hz")),
        ("inference", "rate_hz:=fast", ("rate_hz", "fast")),
        ("inference", "provider:=TPU", ("provider", "TPU")),
        ("head", "port:=/dev/tty_of_nobody", ("port", "/dev/tty_of_nobody")),
        ("head", "limit_scale:=2.0", ("limit_scale", "2.0", "0.05..1")),
        ("arm", "dds_domain:=500", ("dds_domain", "500")),
        ("arm", "dds_interface:=nothere0", ("interface", "nothere0")),
        ("camera", "source:=webcam", ("source", "webcam", "realsense")),
    ],
)
def test_parameters_that_cannot_be(ros_domain, dds_domain, process, parameter, words):
    assert_refused(start(process, parameter), process, *words)


def test_a_serial_port_where_nobody_answers(ros_domain):
    master, slave = pty.openpty()
    try:
        assert_refused(start("head", f"port:={os.ttyname(slave)}"), "head", "no answer from servo")
    finally:
        os.close(master)
        os.close(slave)


def test_a_camera_that_never_delivers_says_so_and_stays(ros_domain, tmp_path):
    argv = [sys.executable, "-m", graph.process("camera").module, "--ros-args", "-p", "source:=sim"]
    with subprocess.Popen(
        [*argv, "-p", f"ring:={tmp_path / 'no_ring'}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as camera:
        assert camera.stdout is not None
        try:
            for line in camera.stdout:
                if "no_ring" in line:
                    break
            assert camera.poll() is None
        finally:
            camera.terminate()
    assert camera.returncode == 0
