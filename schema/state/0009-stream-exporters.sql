-- A stream may have several exporters. Names of rows that nobody made contain a character that no stream, uplink or cursor has,
-- so that an uplink may be called "stream": "@", the stream itself; "@UPLINK", an exporter, and "@UPLINK+live", its live lane;
-- "@>STREAM", how far the dead letters of a stream were taken back. "@?" was a stream's only exporter before it had a name: its
-- first one takes it over.
UPDATE stream_reader SET name = '@' WHERE name = '@stream';
UPDATE stream_reader SET name = '@?' WHERE name = '@uplink';

-- What an exporter is told, and what it has had of its day.
CREATE TABLE stream_exporter (
    stream TEXT    NOT NULL,
    uplink TEXT    NOT NULL,
    paused INTEGER NOT NULL,
    day    INTEGER NOT NULL,              -- number of the day in local time
    bytes  INTEGER NOT NULL,              -- that it has had of it
    PRIMARY KEY (stream, uplink)
) STRICT, WITHOUT ROWID;
