"""Between fixes: odometry carries the pose, its covariance grows, and new fixes are judged against it."""

from relpose_ros.localization.tracking.answers import Decision, Kind, TrackedPose
from relpose_ros.localization.tracking.fix import Fix
from relpose_ros.localization.tracking.options import TrackerOptions
from relpose_ros.localization.tracking.tracker import PoseTracker

__all__ = ["Decision", "Fix", "Kind", "PoseTracker", "TrackedPose", "TrackerOptions"]
