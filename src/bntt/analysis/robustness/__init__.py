"""How much noise on the images costs: accuracy of several runs on the same noise."""
