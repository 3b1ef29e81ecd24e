-- Device shadows. A deleted one leaves its version behind (a tombstone, without state), so that one made anew within
-- 48 hours does not count from 1 again: devices ignore versions they have seen.
CREATE TABLE shadow (
    id        INTEGER PRIMARY KEY,        -- documents are large for an index: the names have one of their own
    thing     TEXT    NOT NULL,
    name      TEXT    NOT NULL,           -- '' for the classic shadow
    version   INTEGER NOT NULL CHECK (version > 0),
    state     TEXT,                       -- {"desired":{…},"reported":{…}}; NULL: a tombstone
    metadata  TEXT,                       -- the same shape
    deleted_s INTEGER,                    -- seconds since 1970, as the clock stood then; NULL while the shadow exists
    UNIQUE (thing, name),
    CHECK ((state IS NULL) = (metadata IS NULL) AND (state IS NULL) = (deleted_s IS NOT NULL))
) STRICT;

CREATE INDEX shadow_tombstone ON shadow (deleted_s) WHERE deleted_s IS NOT NULL;
