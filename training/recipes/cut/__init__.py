"""CUT: images of one domain made to look like another's, without pairs; refines rendered training images."""
