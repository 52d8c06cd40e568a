"""The topics of one camera, and what its messages become; a node has one, or one for each camera of a rig."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from relpose_ros.datasets.camera_files import read_camera
from relpose_ros.datasets.rig_files import read_mask
from relpose_ros.errors import ConfigurationError
from relpose_ros.nodes.camera_info import FixedCamera
from relpose_ros.nodes.intake import Intake, Masking
from relpose_ros.nodes.masks import MaskBuffer, Pixels

ALONE = ""
"""The name of the only camera of a node."""


@dataclass
class Channel:
    """One camera. `image`, `info` and `mask` are topics before remapping; `mask` may be empty."""

    name: str
    image: str
    info: str
    mask: str
    fixed_camera: FixedCamera | None
    fixed_mask: Pixels | None
    intake: Intake = field(default_factory=lambda: Intake("", False, None))
    masks: MaskBuffer | None = None
    received: int = 0
    received_before: int = 0

    def heard_as(self, what: str) -> str:
        """How diagnostics call one of its topics."""
        return f"{self.name} {what}".strip()

    def was_silent(self) -> bool:
        """Whether no image has come since the last call."""
        before, self.received_before = self.received_before, self.received
        return self.received == before

    def renew(self, topic: str, settings: dict[str, Any]) -> None:
        """Begin anew, as nothing was received: the camera may have been changed, and so may time."""
        self.received = self.received_before = 0
        self.masks = MaskBuffer(settings["mask_timeout"]) if self.mask else None
        required = settings.get("unmasked_images") == "refuse"
        masking = Masking(self.fixed_mask, self.masks, required)
        rectified = settings["image_is_rectified"]
        self.intake = Intake(topic, rectified, self.fixed_camera, masking, self.name)


def camera_names(settings: dict[str, Any]) -> tuple[str, ...]:
    """Of the cameras that are taken together; `ALONE` where there is one, not part of a rig.

    Raises ConfigurationError for names that are no parts of topics, or that are there twice.
    """
    names = tuple(settings.get("cameras", ())) or (ALONE,)
    wrong = [n for n in names if n != ALONE and not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", n)]
    if wrong or len(set(names)) < len(names) or (ALONE in names and len(names) > 1):
        raise ConfigurationError(
            f"parameter cameras: expected different names of letters, digits and _, got {list(names)}"
        )
    return names


def open_channel(name: str, settings: dict[str, Any]) -> Channel:
    """A camera's channel, by the node's parameters.

    Raises CameraError or ImageError for its files, ConfigurationError for a topic that cannot be
    below a camera's name.
    """
    below = f"{name}/" if name else ""
    camera_file = of_camera(settings["camera_file"], name)
    mask_file = of_camera(settings.get("mask_file", ""), name)
    mask = settings.get("mask_topic", "")
    if name and mask.startswith(("/", "~")):
        raise ConfigurationError(
            f"parameter mask_topic: with `cameras` it is below each camera's name, got {mask!r}; "
            "leave out what it begins with"
        )
    return Channel(
        name=name,
        image=f"{below}image",
        info=f"{below}camera_info",
        mask=below + mask if mask else "",
        fixed_camera=FixedCamera(read_camera(camera_file)) if camera_file else None,
        fixed_mask=read_mask(mask_file) if mask_file else None,
    )


def of_camera(value: str, name: str) -> str:
    """A parameter's value for one camera: {camera} in it stands for the camera's name."""
    return value.replace("{camera}", name)
