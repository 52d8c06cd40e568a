"""Scene-coordinate regression: DSAC*, the TransPose/CrossLoc family and KFNet."""
