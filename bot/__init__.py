"""mlops-bot: a chat-ops bot for incident response on machine-learning systems."""

__version__ = "0.1.0"
