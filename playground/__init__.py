"""A local Slack and a small real machine-learning system, so that the whole bot can be tried on one machine."""
