"""`relpose localize`: the command line to the letter, one answer an image."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from relpose_ros.cli.main import main
from relpose_ros.errors import MapError
from relpose_ros.localization import options as options_module
from relpose_ros.localization import parts as parts_module

NUMBERS = ["60", "61", "31.5", "23.5", "64", "48"]
KEYS = set("image state reason map_from_camera covariance confidence inliers references latency_ms".split())


@pytest.mark.parametrize(
    "line",
    [
        ["--map", "m", "a.png", "b.png", "--camera", "camera.yaml"],
        ["--map", "m", "--camera", "camera.yaml", "a.png", "b.png"],
        ["--camera", "camera.yaml", "--map", "m", "a.png", "b.png"],
        ["a.png", "--map", "m", "b.png", "--camera", *NUMBERS],
        ["a.png", "--camera", *NUMBERS, "b.png", "--map", "m"],
        ["--map", "m", "--camera", *NUMBERS, "a.png", "b.png"],
        ["--map", "m", "a.png", "b.png", "--camera", *NUMBERS, "-0.2", "0.07", "-1e-3", "0"],
    ],
)
def test_images_and_camera_in_any_order(images, localizer, line):
    assert main(["localize", *line]) == 0
    assert sorted(frame.source for frame in localizer.frames) == ["a.png", "b.png"]
    camera = localizer.frames[0].camera
    assert (camera.fx, camera.fy, camera.width, camera.height) == (60, 61, 64, 48)
    assert localizer.args.map == Path("m")


def test_distortion_arrives(images, localizer):
    main(["localize", "--map", "m", "a.png", "--camera", *NUMBERS, "-0.2", "0.07", "-1e-3", "0"])
    assert localizer.frames[0].camera.distortion[:4] == (-0.2, 0.07, -1e-3, 0)


def test_json_is_one_line_an_image(images, localizer, capsys):
    assert main(["localize", "--map", "m", "a.png", "lost.png", "--camera", "camera.yaml", "--json"]) == 0
    found, lost = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert set(found) >= KEYS
    assert (found["image"], found["state"]) == ("a.png", "localized")
    assert found["map_from_camera"]["translation"] == [1, 2, 3]
    assert np.reshape(found["covariance"], (6, 6))[0, 0] == pytest.approx(1e-4)
    assert lost["state"] == "unlocalized" and lost["map_from_camera"] is None and lost["covariance"] is None
    assert "inliers" in lost["reason"]


def test_text_says_state_pose_sigma_and_reason(images, localizer, capsys):
    assert main(["localize", "--map", "m", "a.png", "lost.png", "--camera", "camera.yaml"]) == 0
    said = capsys.readouterr().out
    assert "a.png: localized" in said and "1.000  2.000  3.000 m" in said
    assert "1-sigma 1 1 1 cm" in said and "1-sigma 0.5 0.5 0.5 deg" in said
    assert "lost.png: unlocalized" in said and "only 4 inliers" in said


def test_a_broken_image_does_not_stop_the_others(images, localizer, capsys):
    line = ["localize", "--map", "m", "a.png", "broken.png", "absent.png", "b.png", "--camera", "camera.yaml"]
    assert main(line) == 2
    said = capsys.readouterr()
    assert said.out.count("localized") == 2
    assert "broken.png" in said.err and "absent.png" in said.err


@pytest.mark.parametrize(
    ("camera", "says"),
    [
        (["absent.yaml"], "absent.yaml"),
        (["1", "2", "3"], "expected 6, 10 or 11 numbers"),
        (["nan", *NUMBERS[1:]], "finite"),
        (["0", *NUMBERS[1:]], "focal length"),
        (["broken.png"], "broken.png"),
    ],
)
def test_a_bad_camera_is_refused_before_the_map_is_opened(images, localizer, capsys, camera, says):
    assert main(["localize", "a.png", "--map", "m", "--camera", *camera]) == 2
    assert says in capsys.readouterr().err
    assert not hasattr(localizer, "args")


def test_the_camera_of_another_image_size_is_refused(images, localizer, capsys):
    assert main(["localize", "a.png", "--map", "m", "--camera", "60", "60", "31", "23", "640", "480"]) == 2
    assert "64x48" in capsys.readouterr().err
    assert not localizer.frames


def test_no_image_is_refused(images, localizer, capsys):
    assert main(["localize", "--map", "m", "--camera", "camera.yaml"]) == 2
    assert "at least one image" in capsys.readouterr().err


def test_an_image_whose_name_is_a_number_goes_before_the_camera(images, localizer):
    assert main(["localize", "7", "--map", "m", "--camera", *NUMBERS]) == 0
    assert localizer.frames[0].source == "7"


def test_a_missing_map_is_a_message(images, capsys):
    assert main(["localize", "a.png", "--map", "absent.relmap", "--camera", "camera.yaml"]) == 2
    said = capsys.readouterr().err
    assert "absent.relmap" in said and "Traceback" not in said


def test_a_real_map_answers_where_and_how_sure(small_world, images, capsys):
    camera = str(small_world.camera_file)
    files = [str(small_world.query(n)) for n in (2, 5, 8)]
    assert main(["localize", "--map", str(small_world.map), *files, "--camera", camera, "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    truth = {line.split()[0]: line.split()[1:4] for line in (small_world.folder / "poses.txt").open()}
    for answer in answers:
        found = answer["map_from_camera"]["translation"]
        assert answer["state"] == "localized" and answer["references"]
        assert np.abs(np.subtract(found, np.float64(truth[Path(answer["image"]).name]))).max() < 0.05
        assert np.linalg.eigvalsh(np.reshape(answer["covariance"], (6, 6))).min() > 0


@pytest.mark.parametrize("profile", ["fast", "accurate"])
def test_profiles_of_a_real_map(small_world, capsys, profile):
    line = [str(small_world.query(5)), "--camera", str(small_world.camera_file), "--profile", profile]
    assert main(["localize", "--map", str(small_world.map), *line]) == 0
    assert ": localized" in capsys.readouterr().out


def test_images_without_a_camera_are_refused(capsys):
    assert main(["localize", "--map", "m.relmap", "image.jpg"]) == 2
    assert "expected --camera CAMERA for the images, or --rig RIG" in capsys.readouterr().err


def test_an_unknown_profile_names_those_there_are(small_world, capsys):
    line = [str(small_world.query(5)), "--camera", str(small_world.camera_file), "--profile", "best"]
    assert main(["localize", "--map", str(small_world.map), *line]) == 2
    assert "default, fast, accurate" in capsys.readouterr().err


def test_a_pruner_is_made(small_world, ratio_pruner, onnx_cache, monkeypatch, capsys):
    made = []
    kept = parts_module.Pruner
    monkeypatch.setattr(parts_module, "Pruner", lambda *a, **k: made.append(a) or kept(*a, **k))
    line = [str(small_world.query(5)), "--camera", str(small_world.camera_file)]
    assert main(["localize", "--map", str(small_world.map), *line]) == 0 and not made
    assert main(["localize", "--map", str(small_world.map), *line, "--pruner", str(ratio_pruner)]) == 0
    assert made == [(ratio_pruner, 2048, 0.5)] and capsys.readouterr().out.count(": localized") == 2


def test_a_matcher_is_made(small_world, nearest_matcher, monkeypatch, capsys):
    made = []
    kept = options_module.GraphMatcher
    monkeypatch.setattr(options_module, "GraphMatcher", lambda *a, **k: made.append((a, k)) or kept(*a, **k))
    line = [
        str(small_world.query(5)),
        "--camera",
        str(small_world.camera_file),
        "--map",
        str(small_world.map),
    ]
    line += ["--matcher", str(nearest_matcher), "--matcher-iterations", "3", "--matcher-backend", "torch"]
    assert main(["localize", *line]) == 0
    assert (
        made == [((nearest_matcher, 3), {"keypoints": 1024, "backend": "torch"})]
        and ": localized" in capsys.readouterr().out
    )


def test_what_is_no_pruner_is_refused_with_both_names(small_world, foreign_checkpoint, capsys):
    line = [str(small_world.query(5)), "--camera", str(small_world.camera_file)]
    assert main(["localize", "--map", str(small_world.map), *line, "--pruner", str(foreign_checkpoint)]) == 2
    said = capsys.readouterr().err
    assert "one_to_one.ltfgc" in said and "one_to_one.eot_21" in said and "Traceback" not in said


@pytest.fixture
def rig(images):
    """A rig of two of the images, in a folder of its own."""
    camera = "image: {}\n    camera: camera.yaml\n    base_from_camera: [0, 0, 0, 0, 0, 0, 1]\n"
    text = "cameras:\n" + "".join(f"  {n}:\n    {camera.format(f'{n}.png')}" for n in ("a", "b"))
    Path("rig.yaml").write_text(text)
    return images


def test_a_rig_is_one_query(rig, localizer, capsys):
    assert main(["localize", "--map", "m", "--rig", "rig.yaml"]) == 0
    assert [frame.source for frame in localizer.rigs[0].frames] == ["a", "b"]
    said = capsys.readouterr().out
    assert "rig.yaml: localized" in said and "dark" in said and "100 inliers" in said


def test_a_rig_in_json_says_whose_pose_it_is(rig, localizer, capsys):
    main(["localize", "--map", "m", "--rig", "rig.yaml", "rig.yaml", "--json"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 2 and "map_from_camera" not in lines[0]
    assert lines[0]["map_from_base"]["translation"] == [1, 2, 3]
    assert lines[0]["cameras"] == [
        {"image": "a", "inliers": 100, "remark": ""},
        {"image": "b", "inliers": 0, "remark": "dark"},
    ]


@pytest.mark.parametrize(
    ("line", "match"),
    [
        (["a.png"], "expected --camera CAMERA"),
        (["--rig", "rig.yaml", "--camera", "camera.yaml"], "give it alone"),
        (["a.png", "--rig", "rig.yaml"], "give it alone"),
        (["--rig", "rig.yaml", "--mask", "a.png"], "give it alone"),
        (["--rig", "nowhere.yaml"], r"nowhere\.yaml"),
    ],
)
def test_rigs_and_images_do_not_mix(rig, localizer, capsys, line, match):
    assert main(["localize", "--map", "m", *line]) == 2
    assert re.search(match, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        ("cameras: [", "not YAML"),
        ("cameras: {a: {image: a.png, camera: camera.yaml, base_from_camera: [0, 0]}}", "base_from_camera"),
        (
            "cameras: {a: {image: a.png, camera: no.yaml, base_from_camera: [0, 0, 0, 0, 0, 0, 1]}}",
            r"no\.yaml",
        ),
        (
            "cameras: {a: {image: no.png, camera: camera.yaml, base_from_camera: [0, 0, 0, 0, 0, 0, 1]}}",
            "no.png",
        ),
    ],
)
def test_a_bad_rig_does_not_stop_the_others(rig, localizer, capsys, bad, match):
    Path("bad.yaml").write_text(bad)
    assert main(["localize", "--map", "m", "--rig", "rig.yaml", "bad.yaml", "rig.yaml"]) == 2
    said = capsys.readouterr()
    assert said.out.count("rig.yaml: localized") == 2 and len(localizer.rigs) == 2
    assert re.search(f"error: bad.yaml: .*{match}", said.err) and said.err.count("bad.yaml") == 1


def test_a_rig_that_does_not_fit_the_map_does_not_stop_the_others(rig, localizer, monkeypatch, capsys):
    kept, refusals = localizer.localize_rig, [MapError("m: this map has no scale")]
    monkeypatch.setattr(localizer, "localize_rig", lambda r: raised(refusals.pop()) if refusals else kept(r))
    assert main(["localize", "--map", "m", "--rig", "rig.yaml", "./rig.yaml"]) == 2
    said = capsys.readouterr()
    assert "rig.yaml: localized" in said.out and "error: rig.yaml: m: this map has no scale" in said.err


def raised(error):
    """Raise it."""
    raise error


def test_a_rig_needs_a_map(rig, capsys):
    assert main(["localize", "--scene", "s.safetensors", "--rig", "rig.yaml"]) == 2
    assert "--map MAP" in capsys.readouterr().err


def test_a_mask_arrives_with_every_image(images, localizer):
    assert main(["localize", "--map", "m", "a.png", "b.png", "--camera", "camera.yaml", "--mask", "7"]) == 0
    assert all(frame.mask.shape == (48, 64) and (frame.mask == 90).all() for frame in localizer.frames)


def test_a_mask_that_is_none_is_refused(images, localizer, capsys):
    assert main(["localize", "--map", "m", "a.png", "--camera", "camera.yaml", "--mask", "broken.png"]) == 2
    assert "broken.png" in capsys.readouterr().err


def test_a_hint_arrives(images, localizer):
    line = ["localize", "--map", "m", "a.png", "--camera", "camera.yaml"]
    assert main([*line, "--hint", "-3 1.5 0.4 1.5708", "--hint-std", "1", "20"]) == 0
    assert main(line) == 0
    hint, none = localizer.hints
    assert none is None and np.allclose(hint.map_from_camera.translation, [-3, 1.5, 0.4])
    assert np.allclose(hint.map_from_camera.rotation[:, 2], [0, 1, 0], atol=1e-4)
    assert np.allclose(np.sqrt(np.diag(hint.covariance)), [1.0] * 3 + [np.radians(20)] * 3)


@pytest.mark.parametrize("hint", ["1 2", "a b c d", "1 2 3 nan", "1 2 3 0 0 0 0"])
def test_a_hint_that_is_none_is_refused(images, localizer, capsys, hint):
    assert main(["localize", "--map", "m", "a.png", "--camera", "camera.yaml", "--hint", hint]) == 2
    assert f"--hint {hint!r}" in capsys.readouterr().err and not localizer.frames


def test_a_hint_needs_a_map(images, localizer, capsys):
    assert main(["localize", "--scene", "s", "a.png", "--camera", "camera.yaml", "--hint", "1 2 3 4"]) == 2
    assert "give it --map MAP" in capsys.readouterr().err
