-- Shadows that are kept equal with a cloud's: what both sides had when they last agreed, and what was being written when the
-- program ended.
CREATE TABLE shadow_sync (
    id            INTEGER PRIMARY KEY,
    uplink        TEXT    NOT NULL,
    thing         TEXT    NOT NULL,
    name          TEXT    NOT NULL,        -- '' for the classic shadow
    base          TEXT,                    -- the common state, {"desired":{…},"reported":{…}}; NULL: there was no document
    local_version INTEGER NOT NULL,        -- of the documents that had it; 0: none
    cloud_version INTEGER NOT NULL,
    writing       INTEGER NOT NULL,        -- 0; 1: the document here; 2: the one at the cloud is being written
    intended      TEXT,                    -- what that one is to become; NULL: deleted
    agreed        TEXT,                    -- what will be common then
    merge         TEXT,                    -- how the last one was decided, JSON
    merged        INTEGER,                 -- when, ms since 1970
    UNIQUE (uplink, thing, name),
    CHECK (writing IN (0, 1, 2))
) STRICT;
