-- +goose Up

-- Programs that read and write events through the stream API. The secret itself is told once and stored nowhere: it is random,
-- so that its plain SHA-256 gives nothing away.
CREATE TABLE api_keys (
    id            text        PRIMARY KEY,
    secret_sha256 bytea       NOT NULL,
    description   text        NOT NULL,
    roles         text[]      NOT NULL, -- matched with the $acl of streams; admin is $admins there
    categories    text[]      NOT NULL, -- that may be read; * is all
    organisations text[]      NOT NULL, -- whose streams may be read; * is all
    opened        boolean     NOT NULL, -- personal texts are shown
    write_free    boolean     NOT NULL, -- may write free streams
    write_own     boolean     NOT NULL, -- may write the vault's own
    created_at    timestamptz NOT NULL,
    revoked_at    timestamptz
);

-- Which events belong to one correlation, for $bc-: an index beside the log, made from it, and behind it by a moment.
CREATE TABLE correlations (
    correlation text   COLLATE "C" NOT NULL,
    position    bigint NOT NULL,
    PRIMARY KEY (correlation, position)
);
CREATE TABLE correlations_head (
    one      boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    position bigint  NOT NULL
);
INSERT INTO correlations_head (position) VALUES (0);
