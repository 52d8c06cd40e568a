"""Models of others: an ONNX file and a YAML that says how it is fed."""

from __future__ import annotations

import hashlib
import logging
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from relpose_ros.errors import CheckpointError, ConfigurationError
from relpose_ros.retrieval.describer import open_describer
from relpose_ros.retrieval.plugged_in import OnnxDescriber
from relpose_ros.retrieval.plugged_in_file import read_plugged_in

HEIGHT, WIDTH = 32, 48
MEAN, SPREAD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
PIXELS = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


class Published(torch.nn.Module):
    """A model as others publish them: no norm, a second output, its own layout."""

    def __init__(self, layout: str = "nchw") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layout = layout
        self.trunk, self.head = torch.nn.Conv2d(3, 12, 5, stride=4), torch.nn.Linear(12, 20)

    def forward(self, images):
        images = images if self.layout == "nchw" else images.permute(0, 3, 1, 2)
        found = self.trunk(images).relu()
        return found.amax(dim=(2, 3)), self.head(found.mean(dim=(2, 3)))


def export(path: Path, module=None, layout: str = "nchw", **options) -> Path:
    shape = (1, 3, HEIGHT, WIDTH) if layout == "nchw" else (1, HEIGHT, WIDTH, 3)
    names = {"input_names": ["image"], "output_names": ["peak", "descriptor"], **options}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            (module or Published(layout)).eval(), (torch.zeros(shape),), str(path),
            **{"external_data": False, "dynamo": True, "verbose": False, **names},
        )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return export(tmp_path_factory.mktemp("models") / "eigen.onnx")


def described(model: Path, **changes) -> dict:
    fed = {"height": HEIGHT, "width": WIDTH, "mean": MEAN, "spread": SPREAD, **changes.pop("input", {})}
    facts: dict = {
        "kind": "onnx",
        "file": str(model),
        "licence": "MIT",
        "source": "https://example.org/eigen",
    }
    facts |= {"output": "descriptor", "input": fed, **changes}
    return {name: value for name, value in facts.items() if value is not None}


def write(folder: Path, facts, name: str = "eigen.yaml") -> Path:
    path = folder / name
    path.write_text(facts if isinstance(facts, str) else yaml.safe_dump(facts))
    return path


def by_torch(layout: str = "nchw", flip: bool = False) -> np.ndarray:
    """What the module itself says of PIXELS, with the preprocessing written out."""
    colours = PIXELS if flip else PIXELS[..., ::-1]
    given = (colours.astype(np.float32) / 255 - np.float32(MEAN)) / np.float32(SPREAD)
    given = given if layout == "nhwc" else given.transpose(2, 0, 1)
    with torch.inference_mode():
        out = Published(layout).eval()(torch.from_numpy(np.ascontiguousarray(given))[None])[1][0].numpy()
    return out / np.linalg.norm(out)


def test_it_says_what_the_module_says(model, tmp_path):
    describer = open_describer(write(tmp_path, described(model)))
    np.testing.assert_allclose(describer.describe(PIXELS, None), by_torch(), atol=1e-5)
    assert describer.dimension == 20 and describer.needs_image
    identity = describer.identity
    assert identity.sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    assert (identity.kind, identity.name, identity.licence) == ("onnx", "eigen", "MIT")
    assert identity.origin == "https://example.org/eigen"


def test_other_orders_of_colours_and_axes(tmp_path):
    bgr = open_describer(
        write(tmp_path, described(export(tmp_path / "a.onnx", dynamo=False), input={"colours": "bgr"}))
    )
    np.testing.assert_allclose(bgr.describe(PIXELS, None), by_torch(flip=True), atol=1e-5)
    last = described(export(tmp_path / "b.onnx", layout="nhwc", dynamo=False), input={"layout": "nhwc"})
    found = open_describer(write(tmp_path, last)).describe(PIXELS, None)
    np.testing.assert_allclose(found, by_torch("nhwc"), atol=1e-5)


@pytest.mark.parametrize("shape", [(480, 640, 3), (100, 20), (7, 9, 1)])
def test_any_size_and_grey(model, tmp_path, shape):
    found = OnnxDescriber(write(tmp_path, described(model))).describe(np.full(shape, 90, np.uint8))
    assert found.shape == (20,) and abs(np.linalg.norm(found) - 1) < 1e-5


def test_how_it_is_fed_is_part_of_who_it_is(model, tmp_path):
    one = open_describer(write(tmp_path, described(model))).identity
    other = open_describer(write(tmp_path, described(model, input={"mean": [0.5] * 3}))).identity
    again = open_describer(write(tmp_path, described(model, name="eigen two", licence="X"))).identity
    assert one.sha256 == other.sha256 and one.digest != other.digest
    assert one.digest == again.digest and again.name == "eigen two"


def test_paths_are_relative_to_the_yaml(model, tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "m.onnx").write_bytes(model.read_bytes())
    monkeypatch.chdir("/")
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    path = write(tmp_path, described(Path("sub/m.onnx"), sha256=digest.upper(), dimension=20))
    assert open_describer(path).dimension == 20


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sha256": "0" * 64}, "expected a file with sha256 0000"),
        ({"sha256": "abc"}, "64 hex digits"),
        ({"sha256": 12345}, "64 hex digits"),
        ({"dimension": 21}, "dimension says 21, the model gives 20"),
        ({"dimension": -1}, "dimension: expected a whole number"),
        ({"output": "logits"}, "expected output to be one of peak, descriptor"),
        ({"output": None}, "expected output to be one of peak, descriptor, got nothing"),
        ({"normalise": False}, "norm 1"),
        ({"normalise": "yes"}, "normalise: expected true or false"),
        ({"kind": "torchscript"}, "kind: expected onnx"),
        ({"licence": None}, "it does not say licence"),
        ({"licence": ""}, "licence: expected a text"),
        ({"source": None, "input": None}, "does not say source"),
        ({"input": {"mean": None}}, "input.mean"),
        ({"input": {"spread": [1, 0, 1]}}, "above 0"),
        ({"input": {"scale": 0}}, "above 0"),
        ({"input": {"scale": float("nan")}}, "above 0"),
        ({"input": {"height": 10**9}}, "input.height"),
        ({"input": {"height": 64}}, "cannot be run on an input of nchw 48x64"),
        ({"input": {"layout": "nhwc"}}, "cannot be run on an input of nhwc"),
        ({"input": {"layout": "hw"}}, "input.layout"),
        ({"input": {"std": [1, 1, 1]}}, "unknown input.'std'; expected some of height"),
        ({"command": "rm -rf /"}, "unknown 'command'; expected some of kind"),
        ({"file": "none.onnx"}, "cannot read .*none.onnx"),
        ({"file": "."}, "cannot read"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_the_name_of_the_yaml(model, tmp_path, changes, words):
    if changes.get("input", "") is None:
        facts = {k: v for k, v in described(model).items() if k not in ("source", "input")}
    else:
        facts = described(model, **changes)
    with pytest.raises(CheckpointError, match=f"(?s)eigen.yaml.*{words}"):
        open_describer(write(tmp_path, facts))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a\n- b\n",
        "just words",
        "kind: [onnx",
        "kind: onnx\n\tfile: x",
        "!!python/object/apply:os.system ['touch /tmp/relpose_was_here']",
        "kind: !!python/name:os.system ''",
        "a: &a [1, 1]\nb: *a\n",
        "\x00\x01\x02",
        "kind: onnx\n" + "# " + "x" * 70_000,
        "[" * 5000,
        "kind: 2024-99-99",
    ],
)
def test_hostile_yaml_is_refused_and_nothing_of_it_is_done(tmp_path, text):
    with pytest.raises(CheckpointError, match=r"eigen\.yaml"):
        read_plugged_in(write(tmp_path, text))
    assert not Path("/tmp/relpose_was_here").exists()


def test_files_that_are_none(tmp_path):
    with pytest.raises(CheckpointError, match="cannot read it"):
        open_describer(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xfa\x80abc")
    with pytest.raises(CheckpointError, match=r"bytes\.yaml"):
        open_describer(tmp_path / "bytes.yaml")
    with pytest.raises(CheckpointError, match="describe it in a YAML"):
        open_describer(tmp_path / "model.onnx")


@pytest.mark.parametrize("damage", [b"", b"garbage" * 50, None])
def test_what_is_no_onnx_is_refused(model, tmp_path, damage):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(model.read_bytes()[:300] if damage is None else damage)
    with pytest.raises(CheckpointError, match=r"eigen\.yaml .bad.onnx.: expected an ONNX model in one file"):
        open_describer(write(tmp_path, described(bad)))


def test_weights_outside_of_the_file_are_not_looked_for(tmp_path, monkeypatch):
    class Large(Published):
        def __init__(self) -> None:
            super().__init__()
            self.head = torch.nn.Linear(12, 2000)

    split = export(tmp_path / "split.onnx", Large(), external_data=True)
    assert (tmp_path / "split.onnx.data").exists()
    monkeypatch.chdir(tmp_path)  # they would be found here, and no checksum covers them
    with pytest.raises(CheckpointError, match="external_data=False"):
        open_describer(write(tmp_path, described(split)))


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (lambda x: x.mean(dim=(2, 3)) * float("nan"), "not finite"),
        (lambda x: x, r"expected one descriptor \(1, G\).*\(1, 3, 32, 48\)"),
        (lambda x: x.mean(dim=(2, 3)).argmax(dim=1, keepdim=True), "expected a descriptor"),
        (lambda x: x.mean(dim=(2, 3)).repeat(2, 1), r"expected one descriptor \(1, G\)"),
    ],
    ids=["nan", "a map", "integers", "two rows"],
)
def test_outputs_that_are_no_descriptor_are_refused_at_start(tmp_path, module, words):
    class Odd(torch.nn.Module):
        def forward(self, images):
            return module(images)

    path = export(tmp_path / "odd.onnx", Odd(), output_names=["descriptor"], dynamo=False)
    with pytest.raises((CheckpointError, ConfigurationError), match=words):
        open_describer(write(tmp_path, described(path, output=None)))
