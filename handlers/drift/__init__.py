"""Drift that can be trusted: how far the data moved, whether that can be told from noise, and what it looks like.

`psi`, `facts`, `signs`, `triage`, `answer` and `predictions` are pure. The others read data and are meant for the
worker process (`worker`): nothing that the serving process imports may import them.
"""
