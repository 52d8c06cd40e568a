"""The whole way, image in to pose out, in a rendered office."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from relpose_ros.datasets.base import PosedImage, Source
from relpose_ros.errors import ConfigurationError, MapError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.localization.localizer import Localizer
from relpose_ros.localization.options import PROFILES, LocalizerOptions, options_for
from relpose_ros.maps.bundle import Map
from relpose_ros.types import Frame, Localization, State

STAGES = {"extract", "describe", "retrieve", "match", "solve", "refine", "total"}


def grey(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))


@pytest.fixture(scope="session")
def localizer(office: Map) -> Localizer:
    return Localizer(office)


@pytest.fixture(scope="session")
def answers(localizer: Localizer, rendered_world: Source) -> list[tuple[PosedImage, Localization]]:
    return [(q, localizer.localize(q.frame())) for q in rendered_world.queries]


@pytest.fixture(scope="session")
def easy(answers: list[tuple[PosedImage, Localization]]) -> PosedImage:
    """The query with the most inliers."""
    return max(answers, key=lambda a: a[1].inliers)[0]


def errors(answer: Localization, query: PosedImage) -> tuple[float, float]:
    """Metres and degrees."""
    assert answer.map_from_camera is not None and query.map_from_camera is not None
    metres, radians = answer.map_from_camera.distance_to(query.map_from_camera)
    return float(metres), float(np.rad2deg(radians))


def assert_true(answer: Localization) -> None:
    """Whatever was answered may be published as it is."""
    assert answer.latency_ms["total"] > 0 and STAGES >= {"total"} <= set(answer.latency_ms)
    json.dumps(answer.to_json(), allow_nan=False)
    if answer.has_pose:
        assert answer.state in (State.LOCALIZED, State.DEGRADED)
        assert np.isfinite(answer.map_from_camera.matrix).all()
        np.testing.assert_allclose(answer.covariance, answer.covariance.T)
        assert np.linalg.eigvalsh(answer.covariance).min() > 0
        assert 0 < answer.confidence <= 1 and answer.inliers > 0 and answer.references
        assert bool(answer.reason) == (answer.state is State.DEGRADED)
    else:
        assert answer.state is State.UNLOCALIZED and answer.reason and answer.confidence == 0
        assert answer.covariance is None


def test_queries_are_localized(answers: list[tuple[PosedImage, Localization]]) -> None:
    """References are 1.5 m apart here and some queries look at bare walls, so not all of them."""
    found = [(a, *errors(a, q)) for q, a in answers if a.has_pose]
    assert len(found) >= 0.6 * len(answers)
    assert np.median([e[1] for e in found]) < 0.02 and np.median([e[2] for e in found]) < 0.5
    assert max(e[1] for e in found) < 0.2 and max(e[2] for e in found) < 3


def test_every_answer_is_fit_to_publish(answers: list[tuple[PosedImage, Localization]]) -> None:
    for query, answer in answers:
        assert_true(answer)
        assert answer.source == query.name and answer.stamp == query.stamp


def test_total_is_the_sum_of_its_stages(answers: list[tuple[PosedImage, Localization]]) -> None:
    for _, answer in answers:
        stages = {k: v for k, v in answer.latency_ms.items() if k != "total"}
        assert sum(stages.values()) <= answer.latency_ms["total"] * 1.001 + 0.1


def test_references_are_found_where_they_are(localizer: Localizer, rendered_world: Source) -> None:
    for image in rendered_world.references[::6]:
        answer = localizer.localize(image.frame())
        if answer.has_pose:
            assert errors(answer, image)[0] < 0.02


# What a camera driver may send.


def test_colour_and_grey_give_the_same(localizer: Localizer, easy: PosedImage) -> None:
    image = grey(easy.load())
    colour = np.repeat(image[:, :, None], 3, axis=2)
    first, second = (localizer.localize(Frame(i, easy.camera)) for i in (image, colour))
    np.testing.assert_array_equal(first.map_from_camera.matrix, second.map_from_camera.matrix)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_an_image_of_another_size(localizer: Localizer, easy: PosedImage, factor: float) -> None:
    camera = easy.camera.resized(round(factor * easy.camera.width), round(factor * easy.camera.height))
    image = cv2.resize(easy.load(), (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    answer = localizer.localize(Frame(np.asarray(image), camera))
    metres, degrees = errors(answer, easy)
    assert metres < 0.05 and degrees < 1


def distorted(image: np.ndarray, ideal: Camera, camera: Camera) -> np.ndarray:
    """What `camera` would have seen of the picture that `ideal` took."""
    pixels = np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), axis=-1).reshape(-1, 2)
    rays = camera.rays(pixels)
    source = rays * [ideal.fx, ideal.fy] + [ideal.cx, ideal.cy]
    maps = np.nan_to_num(source, nan=-1e4).astype(np.float32).reshape(camera.height, camera.width, 2)
    return np.asarray(cv2.remap(image, maps[..., 0], maps[..., 1], cv2.INTER_LINEAR))


@pytest.mark.parametrize(
    ("model", "distortion"),
    [("plumb_bob", (-0.25, 0.06, 0.001, -0.001)), ("equidistant", (0.01, 0.0, 0.0, 0.0))],
)
def test_a_distorted_camera_in_a_map_of_a_pinhole(
    localizer: Localizer, easy: PosedImage, model: str, distortion: tuple[float, ...]
) -> None:
    camera = replace(easy.camera, model=model, distortion=distortion)
    answer = localizer.localize(Frame(distorted(easy.load(), easy.camera, camera), camera))
    metres, degrees = errors(answer, easy)
    assert metres < 0.04 and degrees < 1


def test_a_crop_with_its_camera(localizer: Localizer, easy: PosedImage) -> None:
    camera = easy.camera.cropped(40, 30, 240, 180)
    answer = localizer.localize(Frame(easy.load()[30:210, 40:280].copy(), camera))
    assert errors(answer, easy)[0] < 0.05


@pytest.mark.parametrize("profile", list(PROFILES))
def test_every_profile_localizes(office: Map, easy: PosedImage, profile: str) -> None:
    answer = Localizer(office, profile).localize(easy.frame())
    assert_true(answer)
    assert errors(answer, easy)[0] < 0.05


def test_reranking_localizes_as_well(office: Map, easy: PosedImage) -> None:
    answer = Localizer(office, LocalizerOptions(rerank=True)).localize(easy.frame())
    assert errors(answer, easy)[0] < 0.05


def test_profiles_are_options_and_unknown_ones_are_refused(office: Map) -> None:
    assert options_for("fast").image_scale < 1
    assert options_for("default", neighbours=3).neighbours == 3
    with pytest.raises(ConfigurationError, match=r"unknown profile 'turbo'; expected one of default, fast"):
        Localizer(office, "turbo")


def test_a_map_of_unknown_features_is_refused(office: Map) -> None:
    with pytest.raises(ConfigurationError, match="'superpoint'"):
        Localizer(replace(office, feature="superpoint"))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((240, 320), np.uint8),
        np.full((240, 320), 255, np.uint8),
        np.full((240, 320, 3), 127, np.uint8),
        np.tile(np.arange(320) % 256, (240, 1)).astype(np.uint8),
    ],
    ids=["black", "white", "grey", "ramp"],
)
def test_nothing_to_see(localizer: Localizer, easy: PosedImage, image: np.ndarray) -> None:
    answer = localizer.localize(Frame(image, easy.camera))
    assert_true(answer)
    assert "features in the image (20 are needed)" in answer.reason


@pytest.mark.parametrize("kind", ["noise", "checkerboard", "tiny"])
def test_things_that_are_no_place(localizer: Localizer, easy: PosedImage, kind: str) -> None:
    generator, camera = np.random.default_rng(0), easy.camera
    image = generator.integers(0, 256, (240, 320)).astype(np.uint8)
    if kind == "checkerboard":
        image = (np.indices((240, 320)).sum(axis=0) // 20 % 2 * 255).astype(np.uint8)
    if kind == "tiny":
        image, camera = image[:5, :7].copy(), Camera("pinhole", 5, 5, 3, 2, 7, 5)
    answer = localizer.localize(Frame(image, camera))
    assert_true(answer)
    assert answer.state is State.UNLOCALIZED


@pytest.mark.parametrize(("world", "seed"), [("corridor", 11), ("corridor", 12)])
def test_frames_of_another_world_are_not_localized(localizer: Localizer, world: str, seed: int) -> None:
    from relpose_ros.datasets.simulate.dataset import simulate
    from relpose_ros.datasets.simulate.options import SimulationOptions

    options = SimulationOptions(
        seed=seed, world=world, width=320, height=240, map_frames=0, query_frames=35, depth=False
    )
    answers = [localizer.localize(q.frame()) for q in simulate(options).queries]
    for answer in answers:
        assert_true(answer)
    assert not any(a.has_pose for a in answers)
    assert sum("features in the image" not in a.reason for a in answers) >= 15, "most must show something"


def test_a_mirrored_frame_is_another_world(localizer: Localizer, rendered_world: Source) -> None:
    """A flat thing in a mirror looks as it would from its back, and spots have no handedness: there
    is a pose behind the wall that agrees with dozens of matches. Nobody stands there."""
    for image in rendered_world.images:
        answer = localizer.localize(Frame(np.ascontiguousarray(image.load()[:, ::-1]), image.camera))
        assert_true(answer)
        assert not answer.has_pose, (image.name, answer.method, answer.inliers)


# The same frame twice.


def assert_same(first: Localization, second: Localization) -> None:
    assert (first.state, first.reason, first.inliers, first.references) == (
        second.state,
        second.reason,
        second.inliers,
        second.references,
    )
    assert first.confidence == second.confidence
    if first.has_pose:
        np.testing.assert_array_equal(first.map_from_camera.matrix, second.map_from_camera.matrix)
        np.testing.assert_array_equal(first.covariance, second.covariance)


def test_same_frame_same_answer_to_the_bit(
    office: Map, rendered_world: Source, answers: list[tuple[PosedImage, Localization]]
) -> None:
    """From another localizer, in another order."""
    localizer = Localizer(office)
    for query, answer in reversed(answers):
        assert_same(answer, localizer.localize(query.frame()))


def run_with_threads(count: int, office: Map, image: Path, camera: Camera) -> str:
    script = f"""
        import cv2, numpy as np
        from relpose_ros.geometry.cameras import Camera
        from relpose_ros.localization.localizer import Localizer
        from relpose_ros.maps.bundle import Map
        from relpose_ros.types import Frame
        cv2.setNumThreads({count})
        a = Localizer(Map.open({str(office.path)!r})).localize(Frame.read({str(image)!r}, {camera!r}))
        numbers = np.concatenate([a.map_from_camera.matrix.ravel(), a.covariance.ravel()])
        print(a.state.value, a.inliers, numbers.tobytes().hex())
    """
    threads = {k: str(count) for k in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, **threads},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


def test_thread_count_does_not_matter_to_the_bit(office: Map, easy: PosedImage, tmp_path: Path) -> None:
    path = tmp_path / "easy.png"
    cv2.imwrite(str(path), grey(easy.load()))
    one, four = (run_with_threads(n, office, path, easy.camera) for n in (1, 4))
    assert one == four and one.startswith("localized")


# Parts of the way, as the other nodes take them.


def test_neighbour_by_name(localizer: Localizer, office: Map) -> None:
    name = office.reference_names[3]
    neighbour = localizer.neighbour(name, 0.5)
    assert (neighbour.index, neighbour.name, neighbour.score) == (3, name, 0.5)
    with pytest.raises(MapError, match="'nobody'"):
        localizer.neighbour("nobody")


def test_steps_by_hand_give_what_localize_gives(
    localizer: Localizer, easy: PosedImage, answers: list[tuple[PosedImage, Localization]]
) -> None:
    frame = easy.frame()
    features = localizer.extract(frame)
    byhand = localizer.localize_with(features, frame.camera, localizer.retrieve(localizer.describe(features)))
    assert_same(next(a for q, a in answers if q is easy), byhand)


def test_relative_poses_of_a_frame(localizer: Localizer, office: Map, easy: PosedImage) -> None:
    assert easy.map_from_camera is not None
    frame = easy.frame()
    found = localizer.relative_poses(frame, localizer.retrieve_frame(frame)[0])
    assert found
    for relative in found:
        truth = office.reference_poses[relative.index].inverse() @ easy.map_from_camera
        _, angle = relative.reference_from_camera.distance_to(truth)
        assert np.rad2deg(angle) < 3 and relative.inliers <= relative.matches
    metric = [r for r in found if r.scale_known]
    best = max(metric, key=lambda r: r.inliers)
    truth = office.reference_poses[best.index].inverse() @ easy.map_from_camera
    assert best.reference_from_camera.distance_to(truth)[0] < 0.1


def test_the_calibration_of_the_map_is_used(office: Map, easy: PosedImage) -> None:
    doubled = dict(office.calibration)
    for name, factor in (("scale", 4), ("translation_floor", 2), ("rotation_floor", 2)):
        doubled[name] = factor * doubled[name]
    plain, wide = (
        Localizer(m).localize(easy.frame()) for m in (office, replace(office, calibration=doubled))
    )
    assert plain.covariance is not None
    np.testing.assert_allclose(wide.covariance, 4 * plain.covariance, rtol=1e-9)


def test_localizing_does_not_touch_the_map(office: Map, easy: PosedImage) -> None:
    before = office.path.stat().st_mtime_ns, office.path.read_bytes()
    Localizer(Map.open(office.path)).localize(easy.frame())
    assert (office.path.stat().st_mtime_ns, office.path.read_bytes()) == before
