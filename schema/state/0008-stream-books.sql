-- Streams that were made at run time; those of gatehouse.conf are not here. A deleted one stays until its files are gone.
CREATE TABLE stream (
    name       TEXT    NOT NULL PRIMARY KEY,
    definition TEXT    NOT NULL,          -- JSON, as in schema/topics.md
    deleted    INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- The books of whoever reads a stream: "@uplink", its exporter; "@stream", the stream itself, about what has left the disk;
-- and cursors by their names. next - start = delivered + expired + evicted + dead + missing + unused, always.
CREATE TABLE stream_reader (
    stream    TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    holds     INTEGER NOT NULL,           -- 1: what it has not had is not released
    start     INTEGER NOT NULL,
    base      INTEGER NOT NULL,           -- records accepted before `start`
    next      INTEGER NOT NULL,           -- everything below was settled
    delivered INTEGER NOT NULL,
    expired   INTEGER NOT NULL,
    evicted   INTEGER NOT NULL,
    dead      INTEGER NOT NULL,
    missing   INTEGER NOT NULL,
    unused    INTEGER NOT NULL,
    PRIMARY KEY (stream, name)
) STRICT, WITHOUT ROWID;

INSERT INTO stream_reader SELECT stream, '@uplink', 1, 0, 0, next, next, 0, 0, 0, 0, 0 FROM stream_cursor;
DROP TABLE stream_cursor;
