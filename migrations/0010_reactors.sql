-- +goose Up
-- How far each reactor has reacted, and what it could not.
CREATE TABLE reactor_checkpoints (
    reactor  text PRIMARY KEY,
    position bigint NOT NULL,
    moved_at timestamptz NOT NULL
);
CREATE TABLE reactor_parked (
    reactor   text NOT NULL,
    position  bigint NOT NULL,
    key       text NOT NULL,
    type      text NOT NULL,
    reason    text NOT NULL,
    parked_at timestamptz NOT NULL,
    PRIMARY KEY (reactor, position)
);
