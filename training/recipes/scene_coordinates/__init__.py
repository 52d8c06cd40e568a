"""Networks that know one scene: of every cell of an image, the point of the scene that is seen there."""
