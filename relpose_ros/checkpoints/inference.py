"""How a robot asks a network in torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def inference(threads: int) -> Iterator[None]:
    """Without gradients, and on so many threads of torch; how many there were is put back.

    On a busy robot more of them wait for each other. The number is the whole process's: two networks that
    are asked at the same time by two threads share it.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)
