# make demo | test | lint | train need nothing but Python 3.10-3.13 and apt: each sets up what it uses in .venv.
# A sourced ROS 2 installation is used where there is one; else ROS 2 comes as wheels from PyPI.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install -qq --disable-pip-version-check
ARGS   ?=

ifdef ROS_DISTRO
ROS_EXTRA :=
VENV_FLAGS := --system-site-packages
else
ROS_EXTRA := ros,
VENV_FLAGS :=
endif

export MUJOCO_GL ?= egl

.PHONY: demo dev test test-slow coverage mutants faults lint bench results train train-do ablations train-debug clean apt

demo: $(VENV)/.run
	$(BIN)/sapave demo $(ARGS)

# What tests and training need besides.
dev: $(VENV)/.dev

test: lint
	$(BIN)/python -m pytest $(ARGS)

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow $(ARGS)

# Lines and branches of what decides: the gate, the room that arms have, the states.
coverage: $(VENV)/.dev
	$(BIN)/python -m pytest test/test_gate*.py test/test_clearance.py test/test_supervisor.py test/test_watchdog_core.py \
	  --cov sapave_ros.core.gate --cov sapave_ros.core.clearance --cov sapave_ros.core.supervisor --cov sapave_ros.core.watchdog \
	  --cov-branch --cov-report term-missing --cov-fail-under 100

# Mutants of the gate and of the states (setup.cfg), in a copy of the tree; most of an hour on one core.
mutants: $(VENV)/.dev
	rm -rf out/mutants && mkdir -p out/mutants && git archive HEAD | tar -x -C out/mutants
	cd out/mutants && ../../$(BIN)/mutmut run --max-children 2; ../../$(BIN)/mutmut results

# Every fault, broken in the running system; a quarter of an hour.
faults: $(VENV)/.run
	$(BIN)/sapave bench faults

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Weights like those that ship, from nothing (sapave_ros/learning/__init__.py); what was interrupted goes on.
TRAIN := $(BIN)/torchrun --nproc-per-node 2 -m sapave_ros.learning.train --threads 1
train: $(VENV)/.dev
	$(BIN)/sapave data --triples 200000
	$(BIN)/sapave data --split val --triples 2000
	$(TRAIN)
	$(BIN)/sapave export --backbone models/sapave_nano_backbone.pt --look models/sapave_nano_look.pt

# Stage 2 alone, from what stage 1 taught the model that ships: demonstrations of an expert, and what is learned from them.
train-do: $(VENV)/.dev
	$(BIN)/sapave data --triples 7000
	$(BIN)/sapave data --split val --triples 1000
	$(BIN)/sapave demonstrate --episodes 180 --tasks "onto the tray"
	$(TRAIN) --stage do --look models/sapave_nano_look.pt --set head_weight=0 --batch 32 --do-steps $(or $(STEPS),3200) --run-dir out/runs/do
	$(BIN)/sapave export --run out/runs/do --output out/do.onnx

# The paper's ablations from the shipped backbone, each as long as the other, and their scores as a page:
# out/ablations/index.html; hours on two cores.
# Scoring that was interrupted goes on.
ABLATIONS := nano nano-no-adapter nano-no-spatial nano-shared-head
ablations: $(VENV)/.dev
	$(BIN)/sapave data --triples 200000
	$(BIN)/sapave data --split val --triples 2000
	set -e; for name in $(ABLATIONS); do \
	  $(TRAIN) --config $$name --stage look --ground models/sapave_nano_backbone.pt --run-dir out/ablations/$$name --look-steps $(or $(STEPS),1200); \
	  $(BIN)/sapave export --run out/ablations/$$name --output out/ablations/$$name.onnx; done
	$(BIN)/sapave bench perception --no-memory --perturb nano nano-no-spatial --policies oracle --page out/ablations --json out/ablations/results.json \
	  --journal out/ablations/journal.jsonl \
	  --models $(foreach name,$(ABLATIONS),$(name)=out/ablations/$(name).onnx) $(ARGS)

# The same road in a minute, for a policy that can do nothing.
train-debug: $(VENV)/.dev
	$(BIN)/sapave data --triples 1000 --output out/data/debug
	$(BIN)/sapave data --split val --triples 1000 --output out/data/debug
	$(BIN)/sapave train --config debug --data out/data/debug --run out/runs/debug --ground-steps 50 --look-steps 50
	$(BIN)/sapave export --run out/runs/debug --output out/debug.onnx

bench: $(VENV)/.run
	$(BIN)/sapave bench perception --quick
	$(BIN)/sapave bench latency

# Looking where words say, on all three splits, as a page with pictures: out/perception/index.html; hours on two cores.
# What was interrupted goes on; without out/perception/journal.jsonl it begins anew.
results: $(VENV)/.run
	$(BIN)/sapave bench perception --swap --perturb --parts none depth kt all --page out/perception --json out/perception/results.json \
	  --journal out/perception/journal.jsonl $(ARGS)

# EGL renders the simulation without a screen; libusb is what pyrealsense2 loads.
apt:
	@ldconfig -p | grep -q libEGL.so.1 && ldconfig -p | grep -q libusb-1.0.so.0 && ldconfig -p | grep -q libGL.so.1 || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq libegl1 libgl1 libgl1-mesa-dri libusb-1.0-0 >/dev/null; \
	  else echo "missing system libraries; run: sudo apt-get install libegl1 libgl1 libgl1-mesa-dri libusb-1.0-0" >&2; exit 1; fi; }

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 10) <= v <= (3, 13) or sys.exit("PYTHON is %d.%d; expected 3.10 to 3.13: make PYTHON=python3.11 ..." % v)'
	@$(PYTHON) -m venv $(VENV_FLAGS) $(VENV) || { rm -rf $(VENV); echo "no virtual environment without it: sudo apt-get install python3-venv" >&2; exit 1; }

# The pip of an old Python tries versions for minutes where a newer one finds them at once.
# unitree_sdk2 pins cyclonedds 0.10.2, which has no wheel for Python > 3.10; the simulated robot speaks 11.
$(VENV)/.run: setup.py | $(BIN)/python apt
	@echo "setting up $(VENV): ROS 2 and the simulator as wheels; a few minutes the first time"
	@$(PIP) -U pip
	@$(PIP) -e '.[$(ROS_EXTRA)sim,bag]'
	@$(PIP) --no-deps unitree-sdk2==1.0.1
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "setting up $(VENV): torch and the test tools; a few minutes the first time"
	@$(PIP) torch==2.13.0
	@$(PIP) -e '.[$(ROS_EXTRA)sim,bag,watch,train,test]'
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info out .mypy_cache .ruff_cache .pytest_cache
