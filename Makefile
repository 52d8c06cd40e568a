# Every target does its own set-up in a virtual environment; ROS 2 comes from PyPI wheels.
#   make VENV=/elsewhere/venv ...   another environment        make PYTHON=python3.12 ...   another Python

VENV ?= .venv
XLA ?= .venv-xla
DATA ?=
PYTEST_ARGS ?=
DEMO_ARGS ?=
PARITY_ARGS ?=

# Two at once: the messages are generated while pip installs the packages.
MAKEFLAGS += --no-print-directory --jobs=2
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PREFIX := $(abspath $(VENV))
BIN := $(PREFIX)/bin
STAMPS := $(PREFIX)/.relpose
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --no-compile -c requirements/constraints.txt

# A sourced ROS, or being started from a Python of another environment, must not leak in here.
unexport PYTHONPATH
unexport PYTHONHOME
unexport CMAKE_PREFIX_PATH
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE
ifdef _ROS_WHEELS_BOOTSTRAP_COMPLETE
unexport LD_LIBRARY_PATH
endif
export AMENT_PREFIX_PATH := $(PREFIX)
export VIRTUAL_ENV := $(PREFIX)
export ROS_LOG_DIR ?= $(CURDIR)/build/ros_log

MESSAGES := $(wildcard msg/*.msg msg/*.srv msg/*.action msg/CMakeLists.txt msg/package.xml)
SHIM := test/ros_shims/tf2_msgs
SHIM_FILES := $(wildcard $(SHIM)/CMakeLists.txt $(SHIM)/package.xml $(SHIM)/msg/*.msg)

# The editable installation points at one checkout: install again when another one uses this environment.
ifneq ($(shell cat $(STAMPS)/checkout 2>/dev/null),$(CURDIR))
.PHONY: $(STAMPS)/package
endif

# A moved or copied environment still names its old place in scripts and CMake files.
BORN := $(shell cat $(STAMPS)/prefix 2>/dev/null)
ifneq ($(BORN),)
ifneq ($(BORN),$(PREFIX))
$(STAMPS)/venv: moved
.PHONY: moved
moved:
	@echo "setup: $(PREFIX) was made as $(BORN) and cannot be moved: make clean-venv, then again" >&2; exit 1
endif
endif

.PHONY: help setup demo test test-slow test-xla lint format docs parity bench clean clean-venv

help: ## show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */  make \1\t/' | expand -t 20

setup: $(STAMPS)/package $(STAMPS)/messages $(if $(SHIM_FILES),$(STAMPS)/shim) ## make the environment (every target below does it)

demo: setup ## the whole chain on a simulated world, or on real images with DATA=folder
	@$(BIN)/python -m relpose_ros.cli demo $(if $(DATA),--data "$(DATA)") $(DEMO_ARGS)

test: setup $(STAMPS)/learned ## all tests but the slow ones (PYTEST_ARGS="-k name" for some)
ifeq ($(strip $(PYTEST_ARGS)),)
	@status=0; \
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal --ignore test/system || status=$$?; \
	echo "Node processes are tested by themselves, two files at a time: mostly they wait."; \
	$(BIN)/python -m pytest -n 2 --dist loadfile test/system || status=$$?; \
	exit $$status
else
	@$(BIN)/python -m pytest $(PYTEST_ARGS)
endif

test-slow: setup $(STAMPS)/learned $(STAMPS)/colcon ## the slow tests alone
	@$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

test-xla: $(XLA)/.relpose/ready ## the training loop on XLA (the TPUs' compiler); makes .venv-xla, some 9 GB
	@env -u VIRTUAL_ENV -u AMENT_PREFIX_PATH PJRT_DEVICE=CPU $(XLA)/bin/python -m pytest -o norecursedirs= test/xla $(PYTEST_ARGS)

lint: setup $(STAMPS)/learned build/typing/relpose_training ## style, types, and who may import whom
	@failed=; \
	$(BIN)/python -m ruff check || failed="$$failed ruff-check"; \
	$(BIN)/python -m ruff format --check --quiet || failed="$$failed ruff-format"; \
	$(BIN)/python -m mypy || failed="$$failed mypy"; \
	$(BIN)/lint-imports --no-logo || failed="$$failed lint-imports"; \
	if [ -n "$$failed" ]; then echo "lint: FAILED:$$failed" >&2; exit 1; fi

format: setup ## let ruff mend what it can
	@$(BIN)/python -m ruff check --fix
	@$(BIN)/python -m ruff format

docs: setup ## write the tables of docs/nodes anew from the nodes' parameters
	@$(BIN)/python tools/document_nodes.py

parity: setup $(STAMPS)/learned ## every network, loss and metric against the originals' results (../shared/goldens)
	@$(BIN)/python -m tools.parity $(PARITY_ARGS)

bench: setup $(STAMPS)/learned ## time every stage against a plain version of itself
	@$(BIN)/python -m benchmarks

clean: ## remove build products, not the environment
	rm -rf build install log dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

clean-venv: ## remove the environment, and that of test-xla
	rm -rf "$(VENV)" "$(XLA)"

# mypy reads no editable installation: show it training/ under the name it is imported by.
build/typing/relpose_training:
	@mkdir -p build/typing && ln -sfn ../../training $@

# --- set-up, one stamp a step ------------------------------------------------------------------------
$(STAMPS)/venv: tools/find_python.sh tools/check_machine.py
	@python=$$(tools/find_python.sh) || exit 1; \
	if [ ! -x $(BIN)/python ]; then echo "setup: $(VENV) with $$python"; "$$python" -m venv $(PREFIX); fi
	@mkdir -p $(STAMPS) && echo "$(PREFIX)" > $(STAMPS)/prefix && touch $@

$(STAMPS)/requirements: $(STAMPS)/venv requirements/ros.txt requirements/build.txt requirements/constraints.txt tools/fix_ros_wheels.py
	@echo "setup: ROS 2 and build tools from PyPI"
	@$(PIP) -r requirements/build.txt -r requirements/ros.txt
	@$(BIN)/python tools/fix_ros_wheels.py
	@touch $@

$(STAMPS)/package: $(STAMPS)/requirements setup.py setup.cfg pyproject.toml
	@echo "setup: relpose_ros (editable) and what it needs"
	@$(PIP) --no-build-isolation -e '.[dev]'
	@echo "$(CURDIR)" > $(STAMPS)/checkout
	@touch $@

# torch for the CPU: PyPI's own build brings gigabytes of CUDA along. TORCH_INDEX= takes PyPI's all the same.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
$(STAMPS)/learned: $(STAMPS)/package tools/reachable.py
	@echo "setup: torch, ONNX Runtime and OpenVINO (for networks and training)"
	@index=$$($(BIN)/python tools/reachable.py "$(TORCH_INDEX)"); \
	$(PIP) $${index:+--extra-index-url "$$index"} -e '.[learned,training]' --no-build-isolation
	@touch $@

# torch_xla wants a torch of its own version, so it has an environment of its own.
$(XLA)/.relpose/ready: requirements/xla.txt requirements/constraints.txt tools/find_python.sh setup.py setup.cfg
	@python=$$(tools/find_python.sh) || exit 1; \
	if [ ! -x $(XLA)/bin/python ]; then echo "setup: $(XLA) with $$python"; "$$python" -m venv $(abspath $(XLA)); fi
	@echo "setup: torch and torch_xla 2.9.0 in $(XLA) (some 7 GB, minutes)"
	@grep -v '^torch==' requirements/constraints.txt > $(XLA)/constraints.txt
	@$(XLA)/bin/python -m pip install --disable-pip-version-check --quiet -c $(XLA)/constraints.txt -r requirements/xla.txt
	@$(XLA)/bin/python -m pip install --disable-pip-version-check --quiet --no-build-isolation --no-deps -e .
	@mkdir -p $(XLA)/.relpose && touch $@

$(STAMPS)/messages: $(STAMPS)/requirements $(MESSAGES) tools/build_interfaces.sh
	@tools/build_interfaces.sh msg $(PREFIX) $(PREFIX)/build/relpose_msgs
	@touch $@

$(STAMPS)/shim: $(STAMPS)/requirements $(SHIM_FILES) tools/build_interfaces.sh
	@tools/build_interfaces.sh $(SHIM) $(PREFIX) $(PREFIX)/build/tf2_msgs
	@touch $@

$(STAMPS)/colcon: $(STAMPS)/requirements requirements/colcon.txt
	@$(PIP) -r requirements/colcon.txt
	@touch $@
