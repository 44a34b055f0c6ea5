"""A small but real machine-learning system on loopback: registry, training, model server, traffic, monitoring.

`stack.Stack` starts all of it; `python -m playground.system up` does the same from a shell.
"""
