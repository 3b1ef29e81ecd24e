-- Certificates that were revoked and are registered no more: they stay in the list of revoked ones until they would have
-- ended anyway (daemon/identity/registry.h).
CREATE TABLE revoked (
    id          TEXT    NOT NULL PRIMARY KEY, -- SHA-256 of the DER form, hex
    ca          TEXT    NOT NULL,             -- id of the authority that signed it
    serial      TEXT    NOT NULL,             -- hex
    at_s        INTEGER NOT NULL,             -- when it was revoked
    not_after_s INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
