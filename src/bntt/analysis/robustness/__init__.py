"""Loss of accuracy through noise on the images: several runs on the same noise."""
