-- Nodes that were paired, or offered a key. A generation's number is never used twice for a serial.
CREATE TABLE node (
    serial          TEXT    NOT NULL PRIMARY KEY,
    thing           TEXT    NOT NULL,
    model           TEXT    NOT NULL,
    firmware        TEXT    NOT NULL,
    last_generation INTEGER NOT NULL,        -- of the last key that was made
    generation      INTEGER NOT NULL,        -- of the key it uses; 0: none, it was not paired yet or is revoked
    key             BLOB,
    next_generation INTEGER NOT NULL,        -- of a key it was or will be sent and has not used; 0: none
    next_key        BLOB,
    paired          INTEGER NOT NULL,        -- ms since 1970; 0: not yet
    rotated         INTEGER NOT NULL,        -- when `key` was first used
    revoked         INTEGER NOT NULL         -- 0: it is not
) STRICT, WITHOUT ROWID;
