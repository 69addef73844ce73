"""Stages of a network: hidden layers, residual sums, dropout, the readout."""
