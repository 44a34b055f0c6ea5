"""Senders of alerts, one file each. A module offers one `SOURCE`; files that begin with `_` are shared between them."""
