"""One thread that works on the newest item and forgets older ones: latency stays bounded."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


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
        self._jobs: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._stopping = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="relpose-worker", daemon=True)
        self._thread.start()

    @property
    def is_here(self) -> bool:
        """Whether the caller runs in the worker's thread."""
        return threading.current_thread() is self._thread

    def offer(self, item: Item) -> None:
        """Hand over an item; returns at once."""
        with self._wake:
            dropped = self._waiting is not None
            self._waiting = item
            self._wake.notify()
        if dropped:
            self._on_drop()

    def between(self, job: Callable[[], Result]) -> Future[Result]:
        """Run `job` in the worker's thread after the item in work and before the next; what comes of it.

        It is cancelled if the worker is stopped before.
        """
        future: Future[Result] = Future()
        with self._wake:
            if self._stopping:
                future.cancel()
            else:
                self._jobs.append((job, future))
                self._wake.notify()
        return future

    def discard(self) -> None:
        """Forget the item that waits."""
        with self._wake:
            self._waiting = None

    def stop(self, timeout: float = 5.0) -> bool:
        """Forget what waits, let the current item finish; whether the thread has ended."""
        with self._wake:
            self._stopping, self._waiting = True, None
            cancelled = list(self._jobs)
            self._jobs.clear()
            self._wake.notify()
        for _, future in cancelled:
            future.cancel()
        if not self.is_here:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopping or self._jobs or self._waiting is not None)
                if self._stopping:
                    return
                job = self._jobs.popleft() if self._jobs else None
                item = None
                if job is None:
                    item, self._waiting = self._waiting, None
            if job is not None:
                _do(*job)
            else:
                self._work_on(item)  # type: ignore[arg-type]
            del job, item  # neither an image nor a map is kept while nothing comes

    def _work_on(self, item: Item) -> None:
        try:
            self._work(item)
        except Exception as error:  # noqa: BLE001 - a node never dies of a message
            self._on_error(error)


def _do(job: Callable[[], Any], future: Future[Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(job())
    except Exception as error:  # noqa: BLE001 - whoever waits gets it
        future.set_exception(error)
