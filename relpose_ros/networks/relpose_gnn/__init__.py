"""RelPoseGNN: relative poses between a query and its retrieved references, by message passing.

Turkoglu, Brachmann, Schindler, Brostow, Monszpart: Visual Camera Re-Localization Using Graph Neural
Networks and Relative Pose Supervision, 3DV 2021.
"""
