"""What a run writes down: metrics.jsonl, TensorBoard, and curves as a picture at the end."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

METRICS = "metrics.jsonl"
CURVES = "curves.png"


class Journal:
    """Lines {"step": ..., "split": "train" or "validation", name: value}.

    A run that goes on drops the lines after the step it goes on from: it will write them again.
    """

    def __init__(self, folder: Path, resumed_at: int) -> None:
        from tensorboardX import SummaryWriter

        self.path = folder / METRICS
        kept = [line for line in read_metrics(self.path) if line["step"] <= resumed_at]
        part = self.path.with_suffix(".part")
        part.write_text("".join(f"{json.dumps(line)}\n" for line in kept))
        part.replace(self.path)
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=resumed_at + 1)

    def write(self, step: int, split: str, values: dict[str, float]) -> None:
        """One line, with the kernel when this returns. JSON has no NaN: it is written as null."""
        plain = {name: value if math.isfinite(value) else None for name, value in values.items()}
        with self.path.open("a") as file:
            file.write(f"{json.dumps({'step': step, 'split': split, **plain})}\n")
        for name, value in values.items():
            self._board.add_scalar(f"{split}/{name}", value, step)

    def close(self) -> None:
        """Flush TensorBoard."""
        self._board.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a metrics.jsonl; one that a kill cut off is left out."""
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text().splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and "step" in line:
            lines.append(line)
    return lines


def plot_curves(folder: Path) -> Path:
    """Every quantity of metrics.jsonl over the steps, training and validation in one panel."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    series: dict[str, dict[str, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    for line in read_metrics(folder / METRICS):
        for name in line.keys() - {"step", "split"}:
            if line[name] is not None:
                series[name][line["split"]].append((line["step"], line[name]))
    columns = min(3, max(len(series), 1))
    rows = -(-max(len(series), 1) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.5 * columns, 3 * rows), squeeze=False)
    for axis, name in zip(axes.flat, sorted(series), strict=False):
        for split, points in sorted(series[name].items()):
            axis.plot(*zip(*points, strict=True), label=split, marker="." if split == "validation" else "")
        axis.set_title(name)
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
        axis.legend()
    for axis in axes.flat[len(series) :]:
        axis.axis("off")
    figure.tight_layout()
    part = folder / f".{CURVES}"
    figure.savefig(part, dpi=90, format="png")
    plt.close(figure)
    part.replace(folder / CURVES)
    return folder / CURVES
