"""One neuron through time."""
