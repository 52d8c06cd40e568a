"""One training of the toy recipe, in a process of its own: python test/xla/runs.py OUT [stop=N] key=value ...

Leaves facts.json beside the run. With stop=N it is interrupted before step N, as by a kill.
"""

from __future__ import annotations

import importlib
import json
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "training" / "engine"))

from relpose_training.engine.configuration import load_config
from relpose_training.engine.device import run_on_device
from relpose_training.engine.loop import Trainer, train

toy = importlib.import_module("toy_recipe")


def work(config, stop, device):
    counts = []
    step = Trainer.train_step

    def counted(self, data, meter):
        if config.device != "cpu":
            from relpose_training.engine.xla import compilations

            counts.append(compilations())
        if self.step == stop:
            raise KeyboardInterrupt
        return step(self, data, meter)

    Trainer.train_step = counted  # type: ignore[method-assign]
    status = train(toy.LineRecipe(config), device)
    facts = {"compilations": counts, "device": device.torch_device.type, "devices": device.batch_factor}
    (config.out / "facts.json").write_text(json.dumps(facts))
    return status


if __name__ == "__main__":
    out, *words = sys.argv[1:]
    stop = next((int(word[5:]) for word in words if word.startswith("stop=")), None)
    settings = load_config(
        toy.LineConfig, None, [f"out={out}", *(w for w in words if not w.startswith("stop="))]
    )
    sys.exit(run_on_device(settings.device, partial(work, settings, stop)))
