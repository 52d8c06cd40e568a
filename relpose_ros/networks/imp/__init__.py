"""IMP and EIMP: graph networks that match two sets of keypoints (specs/imp.md; Xue et al., CVPR 2023)."""
