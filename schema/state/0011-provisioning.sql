-- Provisioning of devices that come for the first time (daemon/services/provision/). Times are ms since 1970.
CREATE TABLE provisioning_template (
    name        TEXT    NOT NULL PRIMARY KEY,
    kind        INTEGER NOT NULL,         -- 0 fleet provisioning, 1 just in time
    description TEXT    NOT NULL,
    body        TEXT    NOT NULL,
    enabled     INTEGER NOT NULL,
    hook        TEXT    NOT NULL,         -- who is asked before; empty: nobody
    version     INTEGER NOT NULL,
    created     INTEGER NOT NULL,
    modified    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Whoever has the token made the certificate. It is good for an hour.
CREATE TABLE provisioning_token (
    token       TEXT    NOT NULL PRIMARY KEY,
    certificate TEXT    NOT NULL,
    claimant    TEXT    NOT NULL,         -- who asked for it; empty: somebody who was not asked who he is
    expires     INTEGER NOT NULL,
    template    TEXT,                     -- what has become of it; NULL: nothing yet
    thing       TEXT
) STRICT, WITHOUT ROWID;

-- What a certificate must name to prove that somebody has a foreign authority's key. One row, made when it is first asked for.
CREATE TABLE registration_code (
    code TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;
