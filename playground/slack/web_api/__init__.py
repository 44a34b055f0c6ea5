"""The Web API: one function per method, grouped by family, listed in one table."""

from playground.slack.web_api.table import METHODS, Method

__all__ = ["METHODS", "Method"]
