"""A model that others published, as an ONNX file: plugged in by a short YAML (docs/retrieval-models.md)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from relpose_ros.checkpoints.runtimes import Model, run_in_onnxruntime
from relpose_ros.errors import CheckpointError, DependencyError
from relpose_ros.features.base import Features
from relpose_ros.retrieval.describer import DescriberIdentity, Floats, Image
from relpose_ros.retrieval.learned import blank, checked_image, unit_descriptor
from relpose_ros.retrieval.plugged_in_file import PluggedIn, read_plugged_in


class OnnxDescriber:
    """Runs a plugged-in model in ONNX Runtime. The model has seen an image when this is made.

    Raises CheckpointError if the YAML or the model cannot be used, and DependencyError if ONNX Runtime is
    not installed.
    """

    needs_image = True

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        self.path = Path(path)
        self.model = read_plugged_in(self.path)
        self._name = f"{self.path} ({self.model.file.name})"
        content = _content(self.model, self._name)
        self._run = _opened(content, threads, self._name)
        self._output = self._output_index()
        first = self._output_of(blank(self.model.height, self.model.width))
        self.dimension = self._dimension(first)
        self.identity = DescriberIdentity(
            kind="onnx",
            name=self.model.name,
            dimension=self.dimension,
            sha256=hashlib.sha256(content).hexdigest(),
            settings=self.model.settings,
            licence=self.model.licence,
            origin=self.model.source,
        )
        self.describe(blank(self.model.height, self.model.width))

    def describe(self, image: Image | None, features: Features | None = None) -> Floats:
        """Global descriptor (G,), norm 1, of an image of any size.

        Raises ImageError for what is no image, CheckpointError if the model gives no descriptor of it.
        """
        output = self._output_of(checked_image(image))
        return unit_descriptor(output, self.dimension, self._name, self.model.normalise)

    def _output_of(self, image: Image) -> NDArray[Any]:
        given = self.model.input_of(image)
        try:
            return self._run(given)[self._output]
        except Exception as error:  # noqa: BLE001 ONNX Runtime has a dozen, without a common parent
            raise CheckpointError(
                f"{self._name}: the model cannot be run on an input of "
                f"{self.model.layout} {self.model.width}x{self.model.height}: {_first_line(error)}; "
                "does `input` say what it was exported with?"
            ) from None

    def _output_index(self) -> int:
        names = self._run.outputs
        if not self.model.output and len(names) == 1:
            return 0
        if self.model.output not in names:
            raise CheckpointError(
                f"{self._name}: expected output to be one of {', '.join(names)}, "
                f"got {self.model.output or 'nothing'}"
            )
        return names.index(self.model.output)

    def _dimension(self, output: NDArray[Any]) -> int:
        stated = self.model.dimension
        if output.ndim not in (1, 2) or output.shape != (1, output.shape[-1])[-output.ndim :]:
            raise CheckpointError(
                f"{self._name}: expected one descriptor (1, G) of an image, got an output {output.shape}; "
                "choose another output, or export the model with its pooling"
            )
        if stated and stated != output.shape[-1]:
            raise CheckpointError(
                f"{self._name}: dimension says {stated}, the model gives {output.shape[-1]} values"
            )
        return int(output.shape[-1])


def _content(model: PluggedIn, name: str) -> bytes:
    """The model's bytes: what is checked is what is run."""
    try:
        content = model.file.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{name}: cannot read {model.file}: {error.strerror}") from None
    found = hashlib.sha256(content).hexdigest()
    if model.sha256 and found != model.sha256:
        raise CheckpointError(
            f"{name}: expected a file with sha256 {model.sha256}, got {found}: it is another model, or "
            "damaged; download or export it again, or correct the sha256"
        )
    return content


def _opened(content: bytes, threads: int | None, name: str) -> Model:
    try:
        return run_in_onnxruntime(content, threads)
    except ModuleNotFoundError:
        raise DependencyError(f"{name}: ONNX Runtime is not installed; pip install onnxruntime") from None
    except Exception as error:  # noqa: BLE001 as above
        raise CheckpointError(
            f"{name}: expected an ONNX model in one file, cannot open it: {_first_line(error)}; "
            "torch.onnx.export(..., external_data=False) writes one"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
