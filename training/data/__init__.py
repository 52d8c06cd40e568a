"""What training reads: dumps, shards, samplers, augmentation."""
