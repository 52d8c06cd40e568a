"""One training of the toy recipe, in a process of its own: python test/xla/runs.py OUT [word] key=value ...

Leaves facts.json beside the run. The word `stop=N`: it is interrupted before step N, as by a kill. The word
`threads=2`: two threads in the process that torch_xla.launch starts, with a device each (exchange.py).
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


def work(config, special, device):
    counts = []
    stop = int(special.get("stop", -1))
    if "threads" in special:
        importlib.import_module("exchange").use_the_host()
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
    special = dict(word.split("=") for word in words if word.startswith(("stop=", "threads=")))
    words = [word for word in words if not word.startswith(("stop=", "threads="))]
    settings = load_config(toy.LineConfig, None, [f"out={out}", *words])
    sys.exit(run_on_device(settings.device, partial(work, settings, special)))
