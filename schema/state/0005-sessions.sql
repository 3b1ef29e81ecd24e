-- Sessions that outlive their connection, and what they subscribe to. Their messages are in the log "sessions", under their
-- number, which is never given again.
CREATE TABLE session (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    client_id  TEXT    NOT NULL UNIQUE,
    expiry_s   INTEGER NOT NULL,          -- Session Expiry Interval; 4294967295: never
    away_since INTEGER                    -- wall time, ms since 1970; NULL while its client is connected
) STRICT;

CREATE TABLE session_subscription (
    session INTEGER NOT NULL,
    filter  TEXT    NOT NULL,             -- as it was sent, $share/NAME/ included
    options INTEGER NOT NULL,             -- as in SUBSCRIBE: QoS, 4 No Local, 8 Retain As Published
    id      INTEGER NOT NULL,             -- Subscription Identifier; 0 for none
    PRIMARY KEY (session, filter)
) STRICT, WITHOUT ROWID;

-- Wills of clients that are connected, or whose delay has not passed: a will that is still here at start is published. An
-- older one of a client that is back stays until those who get it have it.
CREATE TABLE will (
    client_id  TEXT    NOT NULL,
    number     INTEGER NOT NULL,
    topic      TEXT    NOT NULL,
    payload    BLOB    NOT NULL,
    properties BLOB    NOT NULL,          -- forwardable MQTT 5 properties as on the wire
    qos        INTEGER NOT NULL,
    retain     INTEGER NOT NULL,
    expiry_s   INTEGER,                   -- Message Expiry Interval; NULL for none
    delay_s    INTEGER NOT NULL,          -- Will Delay Interval
    PRIMARY KEY (client_id, number)
) STRICT, WITHOUT ROWID;
