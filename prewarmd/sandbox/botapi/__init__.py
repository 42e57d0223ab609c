"""A Bot API server for one machine: what Telegram answers, in the shapes that clients decode."""
