"""A spinning node lives on when other threads make and destroy what it listens with."""

from __future__ import annotations

import sys

import pytest
from rclpy.action import ActionClient
from relpose_msgs.action import Relocalize
from std_msgs.msg import String

from relpose_ros.nodes.spinning import spinning_node


@pytest.fixture
def switch_often():
    """Threads change places within a few bytecodes, so that races happen in seconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_entities_come_and_go(ros_environment, switch_often, wait_for):
    heard: list[str] = []
    with spinning_node("many_clients") as node:
        publisher = node.create_publisher(String, "said", 10)
        node.create_subscription(String, "said", lambda m: heard.append(m.data), 10)
        for number in range(100):
            client = ActionClient(node, Relocalize, f"relocalize{number}")
            publisher.publish(String(data="before"))
            client.destroy()
        wait_for(lambda: publisher.publish(String(data="after")) or "after" in heard, what="a message")


def test_a_callback_that_raises(ros_environment, wait_for, capfd):
    heard: list[str] = []

    def hear(message: String) -> None:
        heard.append(message.data)
        raise ValueError(f"cannot stand {message.data}")

    with spinning_node("sensitive") as node:
        publisher = node.create_publisher(String, "said", 10)
        node.create_subscription(String, "said", hear, 10)
        wait_for(publisher.get_subscription_count, what="the match")
        wait_for(lambda: publisher.publish(String(data="noise")) or len(heard) > 2, what="three messages")
    assert "ValueError: cannot stand noise" in "".join(capfd.readouterr())
