-- Retained messages: the last message of every topic.
CREATE TABLE retained (
    topic      TEXT    NOT NULL PRIMARY KEY,
    payload    BLOB    NOT NULL,
    properties BLOB    NOT NULL,          -- forwardable MQTT 5 properties as on the wire
    qos        INTEGER NOT NULL,
    expiry_s   INTEGER,                   -- Message Expiry Interval; NULL for none
    born       INTEGER NOT NULL           -- wall time of arrival, ms since 1970
) STRICT, WITHOUT ROWID;
