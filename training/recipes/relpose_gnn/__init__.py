"""Relative poses between a query and its retrieved references: training."""
