"""RelPoseGNN: pose vectors, readers, images, retrieval by VLAD, choice of neighbours."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.cambridge import open_cambridge
from relpose_ros.datasets.colour_statistics import IMAGENET, SEVEN_SCENES
from relpose_ros.datasets.image_files import read_depth, read_image
from relpose_ros.datasets.seven_scenes import DEPTH_CAMERA
from relpose_ros.geometry.pose_vectors import CAMBRIDGE, PoseVectors, quaternion_exp, quaternion_log
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.resampling import resize_short_side
from relpose_ros.retrieval.diversity import strided_neighbours
from relpose_ros.retrieval.netvlad_input import netvlad_input, zoomed
from relpose_ros.retrieval.vlad import signed_root_vlad
from tools.parity.case import Deviation, deviation, exact, golden, load
from tools.parity.cases.relpose_gnn import SYSTEM
from tools.parity.cases.relpose_gnn_toy import toy

EXACT = 1e-12


def xyzw(wxyz: NDArray[Any]) -> NDArray[Any]:
    """The original has the scalar first."""
    return np.asarray(wxyz[..., [1, 2, 3, 0]])


def wxyz(xyzw: NDArray[Any]) -> NDArray[Any]:
    """Back again."""
    return np.asarray(xyzw[..., [3, 0, 1, 2]])


@golden(SYSTEM, "logarithms, angles, composition, 3x4 -> 6", "pose_utils.npz")
def pose_utils() -> Iterator[Deviation]:
    g = load(SYSTEM, "pose_utils.npz")
    for key in ("qexp", "qexp_t"):
        yield deviation(key, wxyz(quaternion_exp(g["logq"])), g[key], EXACT)
    yield deviation("exp of 0", wxyz(quaternion_exp(np.zeros(3))), g["qexp_zero"], EXACT)
    yield deviation("log of exp", quaternion_log(xyzw(g["qexp"])), g["qlog_of_qexp"], EXACT)
    yield deviation("log", quaternion_log(xyzw(g["q1"])), g["qlog_t"], EXACT)
    yield deviation("log of 1", quaternion_log([0.0, 0.0, 0.0, 1.0]), g["qlog_identity"], EXACT)
    first, second = (Rigid.from_quaternion(xyzw(g[q]), np.zeros((20, 3))) for q in ("q1", "q2"))
    yield deviation("angle", np.degrees(first.distance_to(second)[1]), g["angle_deg"], 1e-9)
    transforms = Rigid.from_matrix(g["poses12"].reshape(-1, 3, 4))
    for key in ("process_poses", "process_poses_cambridge"):
        yield deviation(key, PoseVectors(compat=True).write(transforms), g[key], EXACT)
    normalised = PoseVectors((0.1, 0.2, 0.3), (1.0, 2.0, 3.0), compat=True)
    yield deviation("normalised", normalised.write(transforms), g["process_poses_norm"], EXACT)
    a, b = (Rigid.from_quaternion(xyzw(p[:, 3:]), p[:, :3]) for p in (g["pose7_a"], g["pose7_b"]))
    for key, ours in {
        "compose_rowwise": a @ b,
        "invert": a.inverse(),
        "calc_vo_rowwise": a.inverse() @ b,
    }.items():
        reference = Rigid.from_quaternion(xyzw(g[key][:, 3:]), g[key][:, :3])
        yield deviation(key, ours.matrix, reference.matrix, EXACT)


@golden(SYSTEM, "Cambridge split file -> vectors of camera_from_map", "cambridge_parse.npz")
def cambridge_parse() -> Iterator[Deviation]:
    g = load(SYSTEM, "cambridge_parse.npz")
    text = str(g["dataset_train_txt"])
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder)
        (scene / "seq1").mkdir()
        (scene / "dataset_train.txt").write_text(text)
        (scene / "dataset_test.txt").write_text("\n".join(text.splitlines()[:3]) + "\n")
        _write_images(scene, [line.split()[0] for line in text.splitlines() if line.startswith("seq")])
        source = open_cambridge(scene, focal=744.0)
    poses = Rigid.stack([image.map_from_camera for image in source.references if image.map_from_camera])
    # The original does not normalise the file's rounded quaternions: at 30 m this makes 0.05 mm.
    raw = PoseVectors(inverse=True, compat=True).write(poses)
    yield deviation("raw", raw, g["poses_raw"], 3e-6, relative=True)
    yield deviation("normalised", CAMBRIDGE.write(poses), g["poses_normalised"], 3e-6, relative=True)
    yield deviation("statistics", [CAMBRIDGE.mean, CAMBRIDGE.deviation], g["stats"], EXACT)


def _write_images(scene: Path, names: list[str]) -> None:
    import cv2

    for name in names:
        cv2.imwrite(str(scene / name), np.zeros((4, 4, 3), np.uint8))


@golden(SYSTEM, "images of the network and of NetVLAD, depth, camera", "preprocess_and_vlad.npz")
def preprocess() -> Iterator[Deviation]:
    import cv2

    g = load(SYSTEM, "preprocess_and_vlad.npz")
    frame = toy().folder / str(g["retr_frame"])
    image = read_image(frame)
    seen = SEVEN_SCENES["heads"].normalise(resize_short_side(image, 256))
    yield deviation("network image", seen[:, ::4, ::4], g["net_img_strided4"], 1e-6)
    retrieval = netvlad_input(image)
    yield deviation("NetVLAD image", retrieval[:, ::3, ::3], g["retr_img_strided3"], 1e-6)
    plain = retrieval.astype(float) * np.sqrt(np.asarray(IMAGENET.variance))[:, None, None]
    plain += np.asarray(IMAGENET.mean)[:, None, None]
    yield deviation("NetVLAD image, plain", plain[:, ::3, ::3], g["retr_ori_strided3"], 1e-6)
    yield exact("zoomed size", zoomed(image).shape, image.shape)
    camera = DEPTH_CAMERA.resized(256, 192)
    yield deviation("focal lengths", camera.matrix[[0, 1], [0, 1]], g["retr_K"][[0, 1], [0, 1]], 1e-4)
    metres = read_depth(Path(str(frame).replace("color", "depth")), invalid=65535)
    small = cv2.resize(metres, (256, 192), interpolation=cv2.INTER_NEAREST)[::4, ::4]
    yield deviation("depth", np.where(small > 0, small, 1e-5), g["retr_depth_strided4"], 1e-6)
    pose = toy().source.queries[0].map_from_camera
    assert pose is not None
    yield deviation("camera_from_map", pose.inverse().matrix[:3], g["retr_Tcw"], 1e-6)
    yield deviation("pose vector", PoseVectors(compat=True).write(pose), g["retr_pose_vector"], 1e-6)


@golden(SYSTEM, "VLAD of ORB descriptors, one word empty", "preprocess_and_vlad.npz")
def vlad() -> Iterator[Deviation]:
    g = load(SYSTEM, "preprocess_and_vlad.npz")
    ours = signed_root_vlad(g["vlad_X"], g["vlad_centers"])
    for key in ("vlad_out", "vlad_out_improved_fn"):
        yield deviation(key, ours, g[key], EXACT)


@golden(SYSTEM, "random halving and striding of rankings", "strided_subsampling.npz")
def strided_subsampling() -> Iterator[Deviation]:
    g = load(SYSTEM, "strided_subsampling.npz")
    for period in (3, 5):
        for key, excluded in ((f"sp{period}", False), (f"sp{period}_exclude_self", True)):
            state = np.random.RandomState(7)
            ours = [
                strided_neighbours(row, 7, period, exclude=query if excluded else None, halving=state)
                for query, row in enumerate(g["sim"])
            ]
            yield exact(key, np.stack(ours), g[key])
