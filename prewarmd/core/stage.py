"""How far a child has got with a task: what the job board shows, finer than a job's state."""

from enum import IntEnum


class Stage(IntEnum):
    """Rising; each stage proves something about what Telegram can have.

    Up to and including UPLOADING the closing boundary of the multipart body has not been handed to
    the socket, so Telegram cannot have the message. BODY_SENT is written *before* the last bytes
    are handed over: from then on it may have it. (Handed over is not received: a retry is needed,
    and may be a duplicate.)
    """

    IDLE = 0
    FETCHING = 1
    VERIFIED = 2
    UPLOADING = 3
    BODY_SENT = 4
    ANSWERED = 5
