"""The one training loop: device, distribution, precision, checkpoints, resume, logging."""
