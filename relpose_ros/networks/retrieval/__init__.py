"""Global image descriptors: VGG16 with NetVLAD, whitening, region heads, or max pooling (OpenIBL)."""
