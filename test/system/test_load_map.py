"""~/load_map: another map while the node runs; whatever is wrong with it, the old one answers."""

from __future__ import annotations

import shutil
import signal

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import GetParameters
from relpose_msgs.msg import LocalizationResult
from relpose_msgs.srv import LoadMap

from relpose_ros.nodes.messages import rigid_from_pose

LOCALIZER = ("-m", "relpose_ros.nodes.localizer_node")
HERE, THERE = [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]


@pytest.fixture
def load_map(probe, call):
    return lambda path: call(LoadMap, f"{probe.name}/load_map", path=path)


@pytest.fixture
def change(probe, call):
    def run(number: int) -> bool:
        return call(ChangeState, f"{probe.name}/change_state", transition=Transition(id=number)).success

    return run


def where(probe) -> list[float]:
    result = probe.answer()
    assert result.state == LocalizationResult.LOCALIZED
    return rigid_from_pose(result.map_from_camera.pose).translation.tolist()


def test_another_map_and_those_that_are_refused(start, probe, call, load_map, wait_for):
    process = start(remap=probe.remap, map="good", base_frame_id="")
    probe.wait_for_node()
    assert where(probe) == HERE
    for path, words in (
        ("/no/such", "/no/such: no such map"),
        ("cold", "unexpected RuntimeError: a bug that shows at once"),
        ("", "no such map"),
    ):
        response = load_map(path)
        assert not response.success and words in response.message
        assert "fake 2026 stays in use" in response.message and where(probe) == HERE
    assert probe.said(map_id="fake 2026") and probe.status().level == b"\x01"
    response = load_map("there")
    assert response.success and response.message == "there is in use: fake 2027"
    wait_for(lambda: "ellipse 95 % m" not in probe.values())  # the listeners have forgotten the old map
    assert where(probe) == THERE and probe.said(map_id="fake 2027")
    assert probe.diagnosed("map", "fake 2027") and probe.diagnosed("map changes", "1")
    named = call(GetParameters, f"{probe.name}/get_parameters", names=["map"])
    assert named.values[0].string_value == "there"
    assert process.stop() == 0 and "Traceback" not in process.output()


def test_the_old_map_answers_while_the_new_one_loads(start, probe, ros, call, load_map, wait_for):
    start(remap=probe.remap, map="there", base_frame_id="")
    probe.wait_for_node()
    client = ros.create_client(LoadMap, f"{probe.name}/load_map")
    wait_for(client.service_is_ready)
    pending = client.call_async(LoadMap.Request(path="slow,5"))
    answers = 0
    while not pending.done() and answers < 3:
        assert where(probe) == THERE
        answers += 1
    assert answers == 3
    wait_for(pending.done, 30.0)
    assert pending.result().success and where(probe) == HERE
    ros.destroy_client(client)


def test_a_cleanup_in_the_middle_of_loading(start, probe, ros, call, change, load_map, wait_for):
    process = start(remap=probe.remap, map="good", base_frame_id="", autostart=False)
    response = load_map("there")
    assert not response.success and "configure it first" in response.message
    assert change(Transition.TRANSITION_CONFIGURE)
    client = ros.create_client(LoadMap, f"{probe.name}/load_map")
    wait_for(client.service_is_ready)
    pending = client.call_async(LoadMap.Request(path="slow,4"))
    assert "slow,4 is being loaded" in _second(ros, probe, wait_for)
    assert change(Transition.TRANSITION_CLEANUP)
    assert change(Transition.TRANSITION_CONFIGURE)
    assert change(Transition.TRANSITION_ACTIVATE)
    wait_for(pending.done, 30.0)
    assert not pending.result().success and "cleaned up meanwhile" in pending.result().message
    probe.wait_for_node()
    assert where(probe) == HERE and process.status() is None
    assert load_map("there").success and where(probe) == THERE
    ros.destroy_client(client)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_loading(start, probe, ros, wait_for, number):
    process = start(remap=probe.remap, map="good", base_frame_id="")
    client = ros.create_client(LoadMap, f"{probe.name}/load_map")
    wait_for(client.service_is_ready)
    client.call_async(LoadMap.Request(path="slow,30"))
    probe.wait_for_node()
    probe.answer()
    assert process.stop(number) == 0, process.output()
    assert "Traceback" not in process.output() and "rror" not in process.output()
    ros.destroy_client(client)


def _second(ros, probe, wait_for) -> str:
    """What a second caller is told while the first one's map is loading."""
    client = ros.create_client(LoadMap, f"{probe.name}/load_map")
    wait_for(client.service_is_ready)
    future = client.call_async(LoadMap.Request(path="there"))
    wait_for(future.done)
    ros.destroy_client(client)
    return future.result().message


def test_real_maps_whole_and_broken(start, probe, world, load_map, tmp_path):
    broken, other = tmp_path / "broken.relmap", tmp_path / "other.relmap"
    shutil.copy(world.map, other)
    broken.write_bytes(world.map.read_bytes()[:20_000])
    process = start(LOCALIZER, remap=probe.remap, map=str(world.map), base_frame_id="")
    map_id = probe.said(lifecycle="active").map_id
    for path in (broken, tmp_path / "none.relmap", tmp_path):
        response = load_map(str(path))
        assert not response.success and str(path) in response.message
        assert f"{map_id} stays in use" in response.message
    for _ in range(3):
        assert load_map(str(other)).success
    assert process.stop() == 0 and "Traceback" not in process.output()
