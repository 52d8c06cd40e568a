"""One training of the toy recipe on XLA, in a process of its own: prints what came out as JSON.

python test/xla/runs.py xla|xla-spmd|cpu OUT key=value ...
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "training" / "engine"))

from toy_recipe import LineConfig, LineRecipe

from relpose_training.engine.configuration import load_config
from relpose_training.engine.device import run_on_device
from relpose_training.engine.loop import Trainer, train


def work(config, device):
    counts = []
    if config.device != "cpu":
        from relpose_training.engine.xla import compilations

        step = Trainer.train_step

        def counted(self, data, meter):
            counts.append(compilations())
            return step(self, data, meter)

        Trainer.train_step = counted
    status = train(LineRecipe(config), device)
    facts = {"compilations": counts, "status": status, "devices": device.batch_factor}
    (config.out / "facts.json").write_text(json.dumps(facts))
    return status


if __name__ == "__main__":
    kind, out, *words = sys.argv[1:]
    settings = load_config(LineConfig, None, [f"device={kind}", f"out={out}", *words])
    sys.exit(run_on_device(kind, partial(work, settings)))
