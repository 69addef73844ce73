"""The whole network: blocks in order, its state, its calls, and the classifier around it."""
