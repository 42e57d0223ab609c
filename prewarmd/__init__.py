"""prewarmd: a daemon that turns media in an object store into Telegram file_ids, ahead of need."""

__version__ = "0.1.0"
