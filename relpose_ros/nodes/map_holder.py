"""The map of a node: loaded at configure, changed by ~/load_map, released at cleanup."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError
from functools import partial
from typing import TYPE_CHECKING, Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future as RosFuture
from relpose_msgs.srv import LoadMap

from relpose_ros.errors import ConfigurationError, RelposeError
from relpose_ros.nodes.health import Level
from relpose_ros.nodes.loading import Loaded
from relpose_ros.nodes.memory import release_memory

if TYPE_CHECKING:
    from relpose_ros.nodes.camera_node import CameraNode

Load = Callable[[dict[str, Any]], Loaded]

GONE = "the node was cleaned up meanwhile"


class MapHolder:
    """Holds `loaded` and serves `~/load_map`.

    A map is loaded and `warmed` in a thread of its own, beside the old one, and taken between two frames in
    the worker's thread: no frame sees both. `taken` is called, in that thread, for every map but the first.
    """

    def __init__(
        self, node: CameraNode, load: Load, warm: Callable[[Loaded], None], taken: Callable[[], None]
    ) -> None:
        self._node, self._load, self._warm, self._taken = node, load, warm, taken
        self._loaded: Loaded | None = None
        self._busy_with = ""
        self._pending: Any = None
        node.while_alive.callback(self._give_up)
        # It lives as long as the node: an answer to a service that is gone would end the executor. In a group
        # of its own, and reentrant: while it waits for a map the others go on, and a second caller is told.
        group = ReentrantCallbackGroup()
        node.create_service(LoadMap, "~/load_map", self._serve, callback_group=group)

    def open(self) -> None:
        """Load what the parameters name; released with the configuration. Raises what `load` raises."""
        self._put(self._load(self._node.settings))
        self._node.while_configured.callback(self._release)

    @property
    def loaded(self) -> Loaded:
        """What is in use."""
        if self._loaded is None:
            raise RuntimeError("no map is loaded: the node is not configured")
        return self._loaded

    def _put(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._node.health.note("map", loaded.map_id)
        self._node.health.note("describer", loaded.describer or None)
        self._node.health.note("scene checkpoint", loaded.scene or None)
        self._node.state.say(map_id=loaded.map_id)

    def _release(self) -> None:
        self._loaded = None
        for key in ("map", "describer", "scene checkpoint"):
            self._node.health.note(key, None)
        self._node.state.say(map_id="")

    async def _serve(self, request: LoadMap.Request, response: LoadMap.Response) -> LoadMap.Response:
        path = request.path
        try:
            if self._busy_with:
                raise ConfigurationError(f"{self._busy_with} is being loaded; ask again when that is done")
            if self._loaded is None:
                raise ConfigurationError("the node is not configured; configure it first")
            map_id = await self._switch(path)
        except Exception as error:  # noqa: BLE001 - whatever it is, the old map stays and the caller is told
            response.message = self._explain(path, error)
            return response
        self._node.complaints.solved("load_map")
        response.success, response.message = True, f"{path} is in use: {map_id}"
        self._node.get_logger().info(response.message)
        return response

    async def _switch(self, path: str) -> str:
        """Load in another thread while this one goes on spinning. The id of the new map."""
        done: Any = RosFuture(executor=self._node.executor)
        settings = {**self._node.settings, "map": path}
        prepare = partial(_prepare, weakref.ref(self), self._load, settings, self._loaded, done)
        self._busy_with, self._pending = path, done
        threading.Thread(target=prepare, name="relpose-load-map", daemon=True).start()
        try:
            found: str | Exception = await done
        finally:
            self._busy_with, self._pending = "", None
        if isinstance(found, Exception):
            raise found
        self._node.set_own("map", path)
        return found

    def change_to(self, loaded: Loaded, before: Loaded | None) -> None:
        """In the loader's thread: warm it, and wait until it is taken. Raises what stood in the way."""
        self._warm(loaded)
        self._node.between_frames(lambda: self._take(loaded, before)).result()

    def wake(self) -> None:
        """The answer is ready."""
        executor: Any = self._node.executor
        if executor is not None:
            executor.wake()

    def _take(self, loaded: Loaded, before: Loaded | None) -> None:
        if self._loaded is not before or before is None:
            raise ConfigurationError(GONE)
        self._put(loaded)
        self._node.health.count("map changes")
        self._taken()

    def _give_up(self) -> None:
        """Nobody waits for a map any more. What waited would keep the node's DDS participant to the last."""
        if self._pending is not None:
            self._pending.cancel()

    def _explain(self, path: str, error: Exception) -> str:
        kind = "" if isinstance(error, RelposeError) else f"unexpected {type(error).__name__}: "
        stays = f"; {self._loaded.map_id} stays in use" if self._loaded is not None else ""
        text = f"{path!r} was not loaded: {kind}{error}{stays}"
        if self._node.context.ok():
            self._node.complaints.report("load_map", Level.WARN, text, seconds=30.0)
        return text


def _prepare(
    holder: weakref.ref[MapHolder], load: Load, settings: dict[str, Any], before: Loaded | None, done: Any
) -> None:
    """The loader's thread: load, and have it taken. `done` gets its id, or what stood in the way.

    While it loads it holds nothing of the node: DDS would not tell the others of the node's end.
    """
    try:
        loaded = load(settings)
        alive = holder()
        if alive is None:
            return
        alive.change_to(loaded, before)
        found: str | Exception = loaded.map_id
    except CancelledError:
        found = ConfigurationError(GONE)
    except Exception as error:  # noqa: BLE001 - told to the caller
        found = error.with_traceback(None)  # which would hold what was loaded
    release_memory()  # of the old map, or of what did not fit
    done.set_result(found)
    if (alive := holder()) is not None:
        alive.wake()
