-- +goose Up
-- Which server leads the persistent subscriptions: one row, one leader. fence grows with every change of leader; who writes
-- with an old one writes nothing.
CREATE TABLE subscriptions_lead (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    fence    bigint NOT NULL,
    server   text NOT NULL,
    endpoint text NOT NULL,
    renewal  bigint NOT NULL,
    until    timestamptz NOT NULL
);
-- The persistent subscriptions, and how far each got: everything up to done is done; NULL before the first checkpoint.
CREATE TABLE subscriptions (
    source      text NOT NULL,
    name        text NOT NULL,
    incarnation text NOT NULL,
    definition  bytea NOT NULL,
    done        bigint,
    changed_at  timestamptz NOT NULL,
    PRIMARY KEY (source, name)
);
