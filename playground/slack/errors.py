"""Errors of the local workspace: one for API callers, one for what a person cannot do.

Exception
├── ApiError        the app called the Web API wrongly; becomes {"ok": false, "error": …}
└── CannotDo        a person tried something their screen does not offer; becomes HTTP 409
"""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """A Web API refusal: Slack's error word plus extra response fields."""

    def __init__(self, code: str, **extra: Any) -> None:
        super().__init__(code)
        self.code = code
        self.extra = extra

    def body(self) -> dict[str, Any]:
        """The JSON the app receives."""
        return {"ok": False, "error": self.code, **self.extra}


class CannotDo(Exception):
    """A person's act that the client would not allow, with the reason in words."""

    def __init__(self, why: str, **extra: Any) -> None:
        super().__init__(why)
        self.why = why
        self.extra = extra


def bad_arguments(message: str) -> ApiError:
    """`invalid_arguments` with the detail where SDKs look for it."""
    return ApiError("invalid_arguments", response_metadata={"messages": [f"[ERROR] {message}"]})
