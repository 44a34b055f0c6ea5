"""Guarded changes, one file each. A module offers one `ACTION`; files that begin with `_` are shared between them."""
