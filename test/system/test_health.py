"""What a node says about itself: once in the log, while it lasts in diagnostics, latched on ~/state."""

from __future__ import annotations

from relpose_msgs.msg import LocalizationResult


def test_the_log_says_a_thing_once(start, probe, make_image):
    process = start(remap=probe.remap, map="good", base_frame_id="")
    probe.wait_for_node()
    for number in range(1, 8):
        probe.send(make_image(data=bytes(number)))
        probe.diagnosed("bad images", str(number))
    assert process.output().count("broken") == 1
    probe.send(make_image(encoding="no_such_encoding"))
    probe.diagnosed("bad images", "8")
    assert process.output().count("no_such_encoding") == 1


def test_a_problem_that_ends_is_said_to_be_over(start, probe, wait_for):
    process = start(remap=probe.remap, map="good", base_frame_id="")
    probe.wait_for_node()
    wait_for(lambda: "no image on" in process.output())
    probe.answer()
    wait_for(lambda: "over: no image on" in process.output())


def test_state_is_latched_and_does_not_stay_localized_without_images(start, probe, make_probe):
    start(remap=probe.remap, map="good", base_frame_id="")
    probe.wait_for_node()
    probe.answer()
    said = probe.said(localization=LocalizationResult.LOCALIZED, reason="", lifecycle="active")
    assert said.header.frame_id == "map" and said.header.stamp.sec
    changes = len(probe.states)
    for _ in range(5):
        probe.answer()
    assert len(probe.states) == changes  # nothing has changed
    said = probe.said(localization=LocalizationResult.UNLOCALIZED)
    assert "no answer for 5 s" in said.reason and "no image on" in said.reason


def test_a_latecomer_is_told(start, probe, ros, wait_for):
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from relpose_msgs.msg import NodeState

    start(remap=probe.remap, map="lost", base_frame_id="")
    probe.wait_for_node()
    probe.answer()
    probe.said(localization=LocalizationResult.UNLOCALIZED, lifecycle="active")
    heard: list[NodeState] = []
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    late = ros.create_subscription(NodeState, f"{probe.name}/state", heard.append, latched)
    wait_for(lambda: heard and "inliers" in heard[-1].reason)
    ros.destroy_subscription(late)


def test_a_wide_ellipse_is_an_error(start, probe):
    start(remap=probe.remap, map="vague", base_frame_id="")
    probe.wait_for_node()
    result = probe.answer()
    values = probe.diagnosed("ellipse 95 % m", "4.895 x 2.448")  # deviations of 2 m and 1 m, times 2.448
    assert result.base_pose_published and values["heading 95 % deg"] == "22.46"  # 0.2 rad times 1.96
    assert probe.status().level == b"\x02" and "error_ellipse_size is 2 m" in probe.status().message
    assert float(values["last age s"]) > 0 and "dropped per second" in values
