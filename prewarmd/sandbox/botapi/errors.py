"""Answers that say no, worded as the Bot API server words them (telegram.md 5)."""


class ApiError(Exception):
    """An answer with ok = false."""

    def __init__(self, status: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.parameters = parameters


def bad_request(text: str) -> ApiError:
    """400 with the server's prefix."""
    return ApiError(400, f"Bad Request: {text}")
