"""As `prewarmd`, but a GET is hashed as it lands: what the daemon does."""

from bench.data.clients import prewarmd
from prewarmd.worker.landing import Landing


class Client(prewarmd.Client):
    """See `base`."""

    landing = Landing
