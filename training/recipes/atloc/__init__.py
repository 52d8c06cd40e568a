"""AtLoc: absolute pose regression, a baseline that others are compared with. Never what a robot goes by."""
