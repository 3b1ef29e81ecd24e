-- How far each stream has been exported: every record below `next` was acknowledged by its uplink.
CREATE TABLE stream_cursor (
    stream TEXT    NOT NULL PRIMARY KEY,
    next   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
