-- What Telegram told us about a chat (chat_id 0: about all of a bot's): nothing is sent before
-- held_until (Unix seconds), and the pace is `factor` times the documented one. A restart must not
-- fire into a running penalty.
CREATE TABLE holds (
    bot_slug   TEXT NOT NULL,
    chat_id    INTEGER NOT NULL,
    bot_id     INTEGER NOT NULL,
    held_until REAL NOT NULL,
    factor     REAL NOT NULL,
    updated_at REAL NOT NULL,
    PRIMARY KEY (bot_slug, chat_id)
) STRICT, WITHOUT ROWID;
