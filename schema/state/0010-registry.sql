-- The registry: things, who may be them, and what they may do (daemon/identity/registry.h). Times are ms since 1970 unless
-- their names say otherwise; attributes are JSON objects of strings.
CREATE TABLE thing_type (
    name        TEXT    NOT NULL PRIMARY KEY,
    id          TEXT    NOT NULL,
    description TEXT,
    searchable  TEXT    NOT NULL,         -- JSON array of names
    created     INTEGER NOT NULL,
    deprecated  INTEGER                   -- NULL: it is not
) STRICT, WITHOUT ROWID;

CREATE TABLE thing (
    name       TEXT    NOT NULL PRIMARY KEY,
    id         TEXT    NOT NULL,
    type       TEXT,
    attributes TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    created    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE thing_group (
    name        TEXT    NOT NULL PRIMARY KEY,
    id          TEXT    NOT NULL,
    parent      TEXT,
    description TEXT,
    query       TEXT,                     -- of a group whose things are found by it
    attributes  TEXT    NOT NULL,
    version     INTEGER NOT NULL,
    created     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE thing_group_member (
    thing       TEXT NOT NULL,
    thing_group TEXT NOT NULL,
    PRIMARY KEY (thing, thing_group)
) STRICT, WITHOUT ROWID;

-- Certificates by their id, keys of paired nodes as "psk:SERIAL", users as "user:NAME".
CREATE TABLE principal (
    name         TEXT    NOT NULL PRIMARY KEY,
    kind         INTEGER NOT NULL,        -- 0 certificate, 1 key, 2 user
    status       INTEGER NOT NULL,        -- 0 ACTIVE, 1 INACTIVE, 2 REVOKED, 3 PENDING_ACTIVATION
    created      INTEGER NOT NULL,
    modified     INTEGER NOT NULL,
    ca           TEXT,                    -- id of the authority that signed it
    subject      TEXT,
    serial       TEXT,                    -- the certificate's serial number, hex
    not_before_s INTEGER,
    not_after_s  INTEGER,
    secret       BLOB                     -- a key; a password's hash
) STRICT, WITHOUT ROWID;

-- Apart, because a start reads all principals and none of these.
CREATE TABLE certificate (
    id  TEXT NOT NULL PRIMARY KEY,
    der BLOB NOT NULL
) STRICT;

CREATE TABLE thing_principal (
    principal TEXT    NOT NULL,
    thing     TEXT    NOT NULL,
    exclusive INTEGER NOT NULL,
    PRIMARY KEY (principal, thing)
) STRICT, WITHOUT ROWID;

-- Authorities whose certificates are known here.
CREATE TABLE authority (
    id                TEXT    NOT NULL PRIMARY KEY,
    active            INTEGER NOT NULL,
    auto_registration INTEGER NOT NULL,
    subject           TEXT,
    template_name     TEXT,
    template_body     TEXT,
    not_before_s      INTEGER NOT NULL,
    not_after_s       INTEGER NOT NULL,
    created           INTEGER NOT NULL,
    modified          INTEGER NOT NULL,
    der               BLOB    NOT NULL
) STRICT;

CREATE TABLE policy (
    name            TEXT    NOT NULL PRIMARY KEY,
    default_version INTEGER NOT NULL,
    last_version    INTEGER NOT NULL,
    created         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE policy_version (
    policy   TEXT    NOT NULL,
    version  INTEGER NOT NULL,
    created  INTEGER NOT NULL,
    document TEXT    NOT NULL,
    PRIMARY KEY (policy, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE policy_attachment (
    target TEXT NOT NULL,                 -- a principal's name, or thinggroup/NAME
    policy TEXT NOT NULL,
    PRIMARY KEY (target, policy)
) STRICT, WITHOUT ROWID;

-- Who changed what, and who was refused what. The oldest rows go.
CREATE TABLE audit (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    who     TEXT    NOT NULL,
    what    TEXT    NOT NULL,             -- "certificate/revoked", "refused/connect", …
    object  TEXT    NOT NULL,
    reason  TEXT    NOT NULL,
    count   INTEGER NOT NULL              -- how often, of a refusal that repeated itself
) STRICT;
