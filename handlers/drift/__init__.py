"""Drift that can be trusted: how far the data moved, whether that can be told from noise, and what it looks like.

`psi`, `facts` and `triage` are pure. The others read data with DuckDB and are meant for a worker process: nothing that
the serving process imports may import them.
"""
