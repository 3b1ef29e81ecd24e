-- What has been applied to this file. Every NNNN-name.sql of this folder is applied once, in order of its number,
-- inside a transaction of its own that also writes its row here. A file with a number this program does not know was
-- written by a newer one and is left alone.
CREATE TABLE migration (
    number  INTEGER PRIMARY KEY,
    name    TEXT    NOT NULL,
    applied INTEGER NOT NULL            -- seconds since 1970, as the clock stood then; 0: the file began with it
) STRICT;
