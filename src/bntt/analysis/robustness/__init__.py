"""Loss of accuracy from noise on the images, for several runs with the same noise."""
