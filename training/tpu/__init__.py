"""TPU VMs of Google Cloud: creating, preparing, running on, watching and deleting them, through gcloud."""
