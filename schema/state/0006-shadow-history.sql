-- Shadows explain themselves: what each change replaced, who made it and when.
--
-- A record is a line of JSON, [version, seconds since 1970, "who", what it replaced], the newest last. What it replaced is
-- a JSON merge patch that makes the state of this version the one before: null when there was no document. A fifth element,
-- true, says that this version is a deletion. The newest records stand in the shadow's own row, which is written anyway;
-- now and then they move to a row of shadow_history, so that a change costs one row and dropping old ones few.
ALTER TABLE shadow ADD COLUMN recent TEXT NOT NULL DEFAULT '';

CREATE TABLE shadow_history (
    id      INTEGER PRIMARY KEY,        -- in the order of time
    shadow  INTEGER NOT NULL REFERENCES shadow (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,           -- of its newest record
    bytes   INTEGER NOT NULL,           -- of its records
    at_s    INTEGER NOT NULL,           -- of its newest record
    records TEXT    NOT NULL
) STRICT;

CREATE INDEX shadow_history_shadow ON shadow_history (shadow, version, bytes);

-- Metadata were the state's tree once more with a time at every scalar. The times alone say the same: one for every
-- scalar of the state in its order, each as the difference to the one before, "1760000000x3,12" being t, t, t, t+12.
UPDATE shadow SET metadata = (
    SELECT coalesce(group_concat(difference), '') FROM (
        SELECT atom - lag(atom, 1, 0) OVER (ORDER BY id) AS difference
        FROM json_tree(shadow.metadata) WHERE atom IS NOT NULL ORDER BY id))
WHERE metadata IS NOT NULL;
