"""NIR, the Neuromorphic Intermediate Representation: networks to and from a graph that other frameworks read."""
