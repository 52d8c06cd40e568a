"""Scene-coordinate regression: DSAC*, the TransPose/CrossLoc family and KFNet, with their published state-dict names."""
