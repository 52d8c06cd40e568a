"""Forks a child that trains the toy recipe for every line of settings (JSON) on its standard input.

A process of its own, with one thread: a child forked from one in which OpenMP runs threads may wait for them
forever. Prints each child's number when it starts, and its wait status when it has ended.
"""

from __future__ import annotations

import json
import os
import sys

from toy_recipe import LineConfig, LineRecipe  # type: ignore[import-not-found]

from relpose_training.engine.device import Place, TorchDevice
from relpose_training.engine.loop import train

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = train(LineRecipe(LineConfig(**json.loads(line))), TorchDevice("cpu", Place()))
        finally:
            os._exit(status)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
