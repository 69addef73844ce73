"""ANN-SNN conversion: weights, thresholds."""
