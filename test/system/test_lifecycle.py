"""localizer_node as a managed node: every transition over real DDS, and what may fail on the way."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from relpose_msgs.msg import LocalizationResult
from std_msgs.msg import String

BALLAST = 300 << 20
BONDPY = str(Path(__file__).parents[1] / "nodes" / "fake_bondpy")
SHUTDOWN = {"unconfigured": 5, "inactive": 6, "active": 7}
TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "cleanup": Transition.TRANSITION_CLEANUP,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
}


@pytest.fixture
def managed(start, probe, call):
    """Starts a node that waits for its manager; the process and a function for transitions."""

    def run(**parameters):
        parameters = {"map": "good", "base_frame_id": "", "autostart": False} | parameters
        process = start(remap=probe.remap, **parameters)

        def change(name: str) -> bool:
            number = TRANSITIONS.get(name) or SHUTDOWN[name.removeprefix("shutdown from ")]
            transition = Transition(id=number)
            return call(ChangeState, f"{probe.name}/change_state", transition=transition).success

        return process, change

    return run


@pytest.fixture
def state(probe, call):
    return lambda: call(GetState, f"{probe.name}/get_state").current_state.label


@pytest.fixture
def set_parameter(probe, call):
    def run(name, value):
        wanted = [Parameter(name, value=value).to_parameter_msg()]
        return call(SetParameters, f"{probe.name}/set_parameters", parameters=wanted).results[0]

    return run


def silent(probe, make_image) -> bool:
    """Whether images that are sent are answered by nothing."""
    before = len(probe.results)
    for _ in range(5):
        probe.send(make_image())
        time.sleep(0.05)
    time.sleep(0.3)
    return len(probe.results) == before


def test_a_whole_life(managed, probe, state, make_image):
    process, change = managed(map="good,0,300")
    probe.said(lifecycle="unconfigured")
    assert state() == "unconfigured" and silent(probe, make_image)
    small = process.memory()

    assert change("configure") and state() == "inactive"
    probe.said(lifecycle="inactive", map_id="fake 2026", reason="inactive")
    assert silent(probe, make_image) and process.memory() > small + 0.9 * BALLAST

    for _ in range(2):  # and again
        assert change("activate") and state() == "active"
        probe.said(lifecycle="active", localization=LocalizationResult.UNLOCALIZED, reason="no answer yet")
        probe.wait_for_node()
        assert probe.answer().state == LocalizationResult.LOCALIZED
        probe.said(localization=LocalizationResult.LOCALIZED)
        assert change("deactivate") and state() == "inactive"
        probe.said(lifecycle="inactive", localization=LocalizationResult.UNLOCALIZED)
        assert silent(probe, make_image) and process.memory() > small + 0.9 * BALLAST

    assert change("cleanup") and state() == "unconfigured"
    probe.said(lifecycle="unconfigured", map_id="")
    assert process.memory() < small + 0.2 * BALLAST

    assert change("configure") and change("activate")
    probe.wait_for_node()
    assert probe.answer().base_pose_published
    assert change("shutdown from active") and state() == "finalized"
    probe.said(lifecycle="finalized", map_id="")
    assert silent(probe, make_image) and process.status() is None
    assert process.memory() < small + 0.2 * BALLAST
    assert process.stop() == 0 and "Traceback" not in process.output()


def test_a_map_that_does_not_load_leaves_the_node_unconfigured(managed, probe, state, set_parameter):
    process, change = managed(map="/no/such")
    assert not change("configure") and state() == "unconfigured"
    said = probe.said(lifecycle="unconfigured", reason="cannot configure: /no/such: no such map")
    assert said.map_id == "" and process.output().count("no such map") == 1
    assert probe.diagnosed("lifecycle", "unconfigured") and probe.status().level == b"\x02"
    assert set_parameter("map", "good").successful
    assert change("configure") and change("activate")
    refused = set_parameter("map", "lost")
    assert not refused.successful and "clean up first" in refused.reason
    assert not set_parameter("autostart", True).successful
    probe.wait_for_node()
    assert probe.answer().state == LocalizationResult.LOCALIZED


def test_what_fails_when_it_warms_up_stays_inactive(managed, probe, state):
    process, change = managed(map="cold")
    assert change("configure") and not change("activate") and state() == "inactive"
    probe.said(lifecycle="inactive", reason="cannot activate: a bug that shows at once")
    assert change("cleanup") and process.status() is None


def test_what_fails_when_it_warms_up_ends_a_node_that_starts_itself(start, probe):
    process = start(remap=probe.remap, map="cold", base_frame_id="")
    assert process.wait(60.0) == 1 and "a bug that shows at once" in process.output()


@pytest.mark.parametrize("kind", ["good", "busy"])
def test_nothing_waits_for_a_frame_in_work(managed, probe, state, wait_for, kind):
    """A frame of three seconds, asleep or computing: services and diagnostics are answered before its end."""
    _, change = managed(map=f"{kind},3")
    assert change("configure") and change("activate")
    probe.wait_for_node()
    probe.send()
    wait_for(lambda: probe.values().get("received") == "1")
    diagnosed = len(probe.statuses)
    for _ in range(5):
        assert state() == "active"
    wait_for(lambda: len(probe.statuses) > diagnosed + 5)
    assert not probe.results  # all of that while the frame was in work
    assert change("deactivate") and not probe.results
    assert change("activate")  # waits for the frame, whose answer nobody wants any more
    assert probe.diagnosed("processed", "1") and not probe.results


def test_the_bond_is_kept_while_active_and_while_a_frame_is_in_work(managed, probe, ros, wait_for):
    heard: list[str] = []
    bond = ros.create_subscription(String, f"{probe.namespace}/bond", lambda m: heard.append(m.data), 100)
    process, change = managed(map="busy,2", environment={"PYTHONPATH": BONDPY}, bond_heartbeat_period=0.05)
    assert change("configure") and not heard
    assert change("activate")
    alive = "localizer 0.05 4 alive"
    wait_for(lambda: alive in heard)
    probe.wait_for_node()
    probe.send()
    wait_for(lambda: probe.values().get("received") == "1")
    before = len(heard)
    wait_for(lambda: len(heard) > before + 10)
    assert not probe.results
    sister = ros.create_publisher(String, f"{probe.namespace}/bond_sister", 10)
    wait_for(sister.get_subscription_count)
    for word in ("alive", "dead"):
        sister.publish(String(data=word))
    wait_for(lambda: "the bond with the lifecycle manager is broken" in process.output())
    assert change("deactivate")
    wait_for(lambda: heard[-1] == "localizer 0.05 4 dead")
    assert process.output().count("is broken") == 1
    assert change("activate") and process.stop() == 0, process.output()
    assert "Traceback" not in process.output()
    ros.destroy_publisher(sister)
    ros.destroy_subscription(bond)


def test_without_bondpy_the_node_says_so_and_works(managed, probe):
    process, change = managed()
    assert change("configure") and change("activate")
    assert "bondpy is not installed" in process.output()
    probe.wait_for_node()
    assert probe.answer().state == LocalizationResult.LOCALIZED


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ends_cleanly_on_a_signal_while_a_manager_configures_it(start, probe, ros, wait_for, number):
    process = start(remap=probe.remap, map="slow,2", base_frame_id="", autostart=False)
    client = ros.create_client(ChangeState, f"{probe.name}/change_state")
    wait_for(client.service_is_ready)
    client.call_async(ChangeState.Request(transition=Transition(id=TRANSITIONS["configure"])))
    time.sleep(0.5)
    assert process.stop(number) == 0, process.output()
    assert "Traceback" not in process.output() and "rror" not in process.output()
    ros.destroy_client(client)
