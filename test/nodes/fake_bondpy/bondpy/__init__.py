"""Stands in for the ROS package bondpy, which is not on PyPI: the folder above goes on PYTHONPATH."""
