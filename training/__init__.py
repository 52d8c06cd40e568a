"""What a workstation or a TPU VM runs (imported as `relpose_training`); never imported by relpose_ros."""
