"""What the commands take in: a posed-image source, a camera, a map."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.errors import ConfigurationError

if TYPE_CHECKING:
    from relpose_ros.datasets.base import Source
    from relpose_ros.geometry.cameras import Camera
    from relpose_ros.localization.localizer import Localizer
    from relpose_ros.localization.scene_coordinates import SceneLocalizer
    from relpose_ros.maps.bundle import Map

SOURCE_HELP = "posed images: a folder (images/ and poses.txt), a rosbag2, a COLMAP model, 7-Scenes, ..."

CAMERA_HELP = (
    "the camera of the images: a ROS camera-info YAML, or the numbers "
    "fx fy cx cy width height [k1 k2 p1 p2 [k3]] (pixels; the centre of the top-left pixel is 0, 0)"
)

PRUNER_HELP = (
    "checkpoint (.safetensors) of a correspondence network that judges the matches before the pose solvers "
    "see them (default: none)"
)

MATCHER_HELP = (
    "checkpoint (.safetensors) of a graph network (IMP, EIMP) that matches where nearest neighbours find too "
    "little (default: none)"
)

RELATIVE_HELP = (
    "checkpoint (.safetensors) of a network that regresses relative poses (relpose_gnn.*), attached to the "
    "map by `relpose map attach`; it answers where landmarks find too little (default: none)"
)

SCENE_HELP = (
    "checkpoint (.safetensors) of a scene-coordinate network that was trained on this place; its pose is "
    "weighed beside the others (default: none)"
)


RETRIEVAL_HELP = (
    "checkpoint (.safetensors), or YAML of an ONNX model, whose global descriptor retrieves references; the "
    "one that the map was built with (default: VLAD of the map, without weights)"
)


def add_source_arguments(parser: argparse.ArgumentParser, *, positional: bool = True) -> None:
    """SOURCE, `--format` and `-o KEY=VALUE`."""
    if positional:
        parser.add_argument("source", metavar="SOURCE", help=SOURCE_HELP)
    parser.add_argument(
        "--format", metavar="NAME", help="format of SOURCE (default: recognised by its files)"
    )
    parser.add_argument(
        "-o",
        "--option",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="options",
        help="an option of that format, as image_topic=/camera/image_raw for a bag; may be given again",
    )


def open_from(args: argparse.Namespace, split: str | None = None) -> Source:
    """The source that the arguments of `add_source_arguments` describe.

    `split` is what the images count as where the format (a bag) has no split of its own.
    """
    from relpose_ros.datasets.open import FORMATS, detect_format, open_source

    options = parse_options(args.options)
    path = Path(args.source)
    if split and path.exists():
        layout = FORMATS.get(args.format or detect_format(path))
        if layout and "split" in inspect.signature(layout.open_function()).parameters:
            options.setdefault("split", split)
    return open_source(path, format=args.format, **options)


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    """`KEY=VALUE` strings as keyword arguments; values are read as YAML scalars (3, 0.1, true, text)."""
    import yaml

    options = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigurationError(f"expected KEY=VALUE for --option, got {pair!r}")
        options[key] = yaml.safe_load(value) if value else ""
    return options


def split_camera(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """What followed `--camera`, as (the camera's words, images that were swallowed with them).

    The camera is one path, or as many numbers as stand there.
    """
    count = 0
    while count < len(words) and _is_number(words[count]):
        count += 1
    count = max(count, 1)
    return list(words[:count]), list(words[count:])


def make_camera(words: Sequence[str]) -> Camera:
    """A camera from one path or from its numbers. Raises CameraError."""
    from relpose_ros.datasets.camera_files import camera_from_numbers, read_camera

    return camera_from_numbers(words) if _is_number(words[0]) else read_camera(words[0])


def add_map_arguments(parser: argparse.ArgumentParser) -> None:
    """`--map`, `--scene`, `--profile`, `--pruner`, `--matcher` and its numbers, `--retrieval` and so on."""
    parser.add_argument(
        "--map", type=Path, metavar="MAP", help="a map made by `relpose map build` (not needed with --scene)"
    )
    parser.add_argument("--scene", type=Path, metavar="FILE", help=SCENE_HELP)
    parser.add_argument(
        "--profile", default="default", metavar="NAME", help="default, fast (less accurate) or accurate"
    )
    parser.add_argument("--pruner", type=Path, metavar="FILE", help=PRUNER_HELP)
    parser.add_argument("--matcher", type=Path, metavar="FILE", help=MATCHER_HELP)
    parser.add_argument(
        "--matcher-iterations",
        type=positive,
        metavar="N",
        help="of the matcher: few for tracking, all for relocalization (default: fast 4, other profiles all)",
    )
    parser.add_argument(
        "--matcher-backend",
        choices=("auto", "onnxruntime", "torch"),
        default="auto",
        help="what does them: ONNX Runtime (its files are made the first time), torch, or auto: ONNX Runtime "
        "where `relpose checkpoint export` has made the files (default)",
    )
    parser.add_argument("--retrieval", type=Path, metavar="FILE", help=RETRIEVAL_HELP)
    parser.add_argument("--relative-checkpoint", type=Path, metavar="FILE", help=RELATIVE_HELP)


def open_localizer(args: argparse.Namespace) -> tuple[Map | SceneAlone, Localizer | SceneLocalizer]:
    """The map and a localizer in it, as the arguments of `add_map_arguments` say; or a scene's alone.

    Raises ConfigurationError where neither is named, MapError, and CheckpointError for a pruner, a matcher or
    a scene that is none, or is of another place than the map, or a retrieval file that did not make the map,
    or a network of relative poses that was not attached to it.
    """
    if args.map is None:
        return _open_scene(args)
    from relpose_ros.maps.bundle import Map

    opened = Map.open(args.map)  # refused before anything else is loaded

    from relpose_ros.localization.localizer import Localizer
    from relpose_ros.localization.options import options_for
    from relpose_ros.localization.parts import with_relative

    changes = {name: getattr(args, name) for name in ("pruner", "matcher", "scene", "retrieval")}
    changes["matcher_backend"] = args.matcher_backend
    if args.matcher_iterations is not None:
        changes["matcher_iterations"] = args.matcher_iterations
    options = with_relative(options_for(args.profile, **changes), args.relative_checkpoint)
    return opened, Localizer(opened, options)


def _open_scene(args: argparse.Namespace) -> tuple[SceneAlone, SceneLocalizer]:
    if args.scene is None:
        raise ConfigurationError("expected --map MAP, or --scene FILE, or both; got neither")
    if args.pruner is not None:
        raise ConfigurationError("--pruner judges matches with a map; without --map there are none")
    if args.matcher is not None:
        raise ConfigurationError("--matcher matches with references of a map; without --map there are none")
    if args.retrieval is not None:
        raise ConfigurationError("--retrieval finds references of a map; without --map there are none")
    if args.relative_checkpoint is not None:
        raise ConfigurationError(
            "--relative-checkpoint asks a map's references; without --map there are none"
        )
    from relpose_ros.localization.scene_coordinates import SceneLocalizer

    localizer = SceneLocalizer(args.scene, args.profile)
    return SceneAlone(args.scene, localizer.scene.metric), localizer


@dataclass(frozen=True)
class SceneAlone:
    """Stands where a map would: a scene's checkpoint has neither references nor landmarks to show."""

    path: Path
    metric: bool
    reference_poses: None = None
    landmark_points: None = None
    reference_names: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()

    def info(self) -> dict[str, Any]:
        """What there is to say of it."""
        return {"name": self.path.name, "metric": self.metric, "bytes": self.path.stat().st_size}


def positive(word: str) -> int:
    """A count of 1 or more, as an argument's `type`."""
    count = int(word)
    if count < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {word}")
    return count


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
