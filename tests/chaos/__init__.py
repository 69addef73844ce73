"""Runs that are stopped, killed and starved at every place, and must end as the run that was left alone."""
