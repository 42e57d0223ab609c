-- What a client said of its media (NULL: nothing). It becomes part of the media at its first upload,
-- so it must outlive a restart between submit and upload. `thumbnail` is a key in the job's bucket.
ALTER TABLE jobs ADD COLUMN width INTEGER;
ALTER TABLE jobs ADD COLUMN height INTEGER;
ALTER TABLE jobs ADD COLUMN duration_s REAL;
ALTER TABLE jobs ADD COLUMN thumbnail TEXT;
