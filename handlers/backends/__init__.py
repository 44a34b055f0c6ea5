"""Kinds of foreign systems, one file each.

A module offers one `BACKEND`; files that begin with `_` are shared between them. A backend imports its vendor's SDK
when it is first called, never before: the serving process stays small, and a missing SDK costs only the systems that
use it.
"""
