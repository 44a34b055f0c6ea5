"""`mlops-bot demo`: everything on one machine, without a Slack workspace, a cluster or an account."""

from playground.demo.command import run

__all__ = ["run"]
