"""What a run goes on from, if it may."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from relpose_ros.errors import ConfigurationError
from relpose_training.engine.backup import CONFIG
from relpose_training.engine.configuration import EngineConfig, config_hash
from relpose_training.engine.device import Device
from relpose_training.engine.states import load_state


def find_state(folder: Path, config: EngineConfig, device: Device) -> dict[str, Any] | None:
    """The state in `folder`, seen by all processes alike; None on a new run.

    Raises ConfigurationError if they see different ones, or that of another configuration or of another
    number of devices.
    """
    device.barrier()
    state = load_state(folder)
    steps = device.gather(-1 if state is None else int(state["step"]))
    if len(set(steps)) > 1:
        raise ConfigurationError(
            f"{folder}: the processes see states of different steps {steps} (-1: none); it must be "
            "one folder that all machines share, or be copied by backup="
        )
    if state is not None:
        _check_same_run(state, folder, config, device)
    return state


def _check_same_run(state: dict[str, Any], folder: Path, config: EngineConfig, device: Device) -> None:
    if state["config"] != config_hash(config):
        raise ConfigurationError(
            f"{folder} holds a run with another configuration (see its {CONFIG}); continue it with "
            "the same one, or choose another out="
        )
    now = device.place.world * device.batch_factor
    if state.get("processes", now) != now:
        raise ConfigurationError(
            f"{folder} holds a run of {state['processes']} devices, here are {now}: its batches "
            "would be others. Start as many, or choose another out="
        )
