"""The constructor, properties and methods of bondpy.Bond that nodes/bond.py uses.

Heart-beats are std_msgs/String "id period timeout alive", once "id period timeout dead" at the end. The other
side says "alive" and "dead" on the topic bond_sister; without it the bond breaks after `connect_timeout`.
"""

from __future__ import annotations

import threading
import time

from std_msgs.msg import String


class Bond:
    connect_timeout = 10.0  # seconds, as bondpy has it

    def __init__(self, node, topic, id, on_broken=None, on_formed=None):  # noqa: A002 - as bondpy has it
        self.id, self.heartbeat_period, self.heartbeat_timeout = id, 1.0, 4.0
        self.is_shutdown = False
        self._node, self._on_broken, self._on_formed = node, on_broken, on_formed
        self._ended, self._formed = threading.Event(), False
        self._publisher = node.create_publisher(String, topic, 1)
        self._subscription = node.create_subscription(String, "bond_sister", self._on_sister, 10)

    def start(self):
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def shutdown(self):
        self._ended.set()
        self._thread.join()
        self._say("dead")
        self._on_broken()  # as bondpy does
        self._node.destroy_subscription(self._subscription)  # the publisher stays: the last word must get out

    def _beat(self):
        given_up = time.monotonic() + self.connect_timeout
        while not self._ended.wait(self.heartbeat_period) and self._node.context.ok():
            self._say("alive")
            if not self._formed and time.monotonic() > given_up:
                self._on_broken()  # as bondpy does, and is silent from there on
                return

    def _say(self, word):
        text = f"{self.id} {self.heartbeat_period:g} {self.heartbeat_timeout:g} {word}"
        self._publisher.publish(String(data=text))

    def _on_sister(self, message):
        if message.data == "dead":
            self._on_broken()
        elif not self._formed:
            self._formed = True
            self._on_formed()
