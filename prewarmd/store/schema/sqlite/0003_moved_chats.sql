-- A group that becomes a supergroup gets another id (0: it has not). Without this, each restart would
-- send a media to the old one, to be told the same again.
ALTER TABLE holds ADD COLUMN moved_to INTEGER NOT NULL DEFAULT 0;
