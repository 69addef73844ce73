"""Firing activity of a network: spikes by layer, step and class, and faulty layers."""
