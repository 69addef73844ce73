"""What enters the normalised layers, against the statistics that they hold."""
