"""One thread that works on the newest item and forgets older ones: latency stays bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class NewestWorker(Generic[Item]):
    """Runs `work(item)` in its own thread, so that the ROS executor is never blocked.

    At most one item waits. Offering another while one waits replaces it and counts a drop
    through `on_drop`. `work` must not raise; what it raises goes to `on_error` and the thread
    lives on.
    """

    def __init__(
        self,
        work: Callable[[Item], None],
        on_drop: Callable[[], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        self._work, self._on_drop, self._on_error = work, on_drop, on_error
        self._waiting: Item | None = None
        self._stopping = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="relpose-worker", daemon=True)
        self._thread.start()

    def offer(self, item: Item) -> None:
        """Hand over an item; returns at once."""
        with self._wake:
            dropped = self._waiting is not None
            self._waiting = item
            self._wake.notify()
        if dropped:
            self._on_drop()

    def stop(self, timeout: float = 5.0) -> bool:
        """Forget what waits, let the current item finish; whether the thread has ended."""
        with self._wake:
            self._stopping, self._waiting = True, None
            self._wake.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopping or self._waiting is not None)
                if self._stopping:
                    return
                item, self._waiting = self._waiting, None
            try:
                self._work(item)  # type: ignore[arg-type]
            except Exception as error:  # noqa: BLE001 - a node never dies of a message
                self._on_error(error)
