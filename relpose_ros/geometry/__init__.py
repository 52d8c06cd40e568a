"""Rigid transforms, cameras, robust solvers and pose covariance. Imports nothing else of ours."""
