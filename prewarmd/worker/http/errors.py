"""How an exchange can end without an answer. The texts hold neither URL nor header: a bot's token
and a signature are in those."""


class HttpError(Exception):
    """No answer, and why; `str()` is a line for a person."""


class UnreachableError(HttpError):
    """No connection came about, so nothing was sent."""


class LostError(HttpError):
    """The connection ended before the answer was whole."""


class TimedOutError(HttpError):
    """It took longer than somebody would wait."""


class GarbledError(HttpError):
    """What came is no answer that could be understood."""
