"""What a run goes on from, if it may."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from relpose_ros.errors import ConfigurationError
from relpose_training.engine.backup import CONFIG
from relpose_training.engine.configuration import EngineConfig, config_hash
from relpose_training.engine.device import Device, Place
from relpose_training.engine.replay import ERRORS
from relpose_training.engine.rounds import Rounds
from relpose_training.engine.states import load_state

REPLAY = "replay"
"""Key of states of old: where those of today have "rounds", which then were of prioritised replay alone."""


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


def rounds_state(state: Mapping[str, Any], folder: Path, place: Place) -> Any:
    """What the rounds of this process had decided; None where the run has no rounds.

    Raises ConfigurationError if there is something of which nothing can be made here.
    """
    old = "rounds" not in state
    found = state.get(REPLAY if old else "rounds") or []
    if isinstance(found, list) and all(part is None for part in found):
        return None
    readable = isinstance(found, list) and len(found) == place.world
    if not readable or (old and not all(map(_is_replay, found))):
        kind = f" (round, drawn_by, {ERRORS}; its state is of an older version)" if old else ""
        raise ConfigurationError(
            f"{folder} holds a run whose rounds cannot be read: expected those of {place.world} "
            f"processes{kind}. Finish it with the version and the processes that began it, or choose "
            "another out="
        )
    return found[place.rank]


def load_rounds(rounds: Rounds | None, state: Any, folder: Path, step: int) -> None:
    """Put `state` into `rounds`, in a run that goes on from `step`, 0: a new one.

    Raises ConfigurationError if one of them is missing: such a run would not be the one that was stopped.
    """
    if rounds is not None and state is not None:
        rounds.load_state_dict(state)
    elif step and (rounds is not None or state is not None):
        there, here = ("none", "some") if state is None else ("some", "none")
        raise ConfigurationError(
            f"{folder} holds a run with {there} of the rounds in which samples are chosen, and the recipe "
            f"has {here}: its batches would be others. Finish it with the version that began it, or choose "
            "another out="
        )


def _is_replay(found: Any) -> bool:
    """Whether it is what `Replay.load_state_dict` reads."""
    if not isinstance(found, dict) or found.keys() != {"round", "drawn_by", ERRORS}:
        return False
    drawn_by, errors = found["drawn_by"], found[ERRORS]
    tensors = isinstance(drawn_by, Tensor) and isinstance(errors, Tensor)
    return tensors and drawn_by.ndim == 1 and drawn_by.shape == errors.shape
