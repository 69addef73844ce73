"""The graph of a fused pass: nodes, layers, and the order in which steps go through them."""
