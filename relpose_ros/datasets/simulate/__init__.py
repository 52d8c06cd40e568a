"""A simulated world: furnished rooms, rendered offline with exact depth and poses.

`options.SimulationOptions` says what to make, `dataset.simulate` gives it as a Source in memory,
`dataset.write_simulation` writes it as a posed folder and as rosbag2 files.
"""
