"""Read-only questions, one file each. A module offers one `DIAGNOSTIC`; files that begin with `_` are shared."""
