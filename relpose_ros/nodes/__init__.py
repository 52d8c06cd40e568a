"""ROS 2 nodes: parameters, topics, TF, diagnostics. No mathematics here."""
