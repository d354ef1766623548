-- +goose Up

-- Who runs a reactor: a lease by the database's clock. The epoch fences: what a process that lost its lease still writes here
-- is refused.
ALTER TABLE reactor_checkpoints
    ADD COLUMN holder     uuid,
    ADD COLUMN held_until timestamptz,
    ADD COLUMN epoch      bigint NOT NULL DEFAULT 0;

-- The processes that react, so that each takes its share of the reactors.
CREATE TABLE reactor_processes (
    process    uuid PRIMARY KEY,
    seen_until timestamptz NOT NULL
);

-- What is to become of parked events: an admin's word, which the process that runs the reactor carries out.
ALTER TABLE reactor_parked
    ADD COLUMN retry_at timestamptz,                    -- asked to react again; null: not asked
    ADD COLUMN dropped  boolean NOT NULL DEFAULT false; -- asked to go on without it
CREATE INDEX reactor_parked_key ON reactor_parked (reactor, key, position);

-- What a reactor has to do at a time: its durable timers. They follow from events: with an empty table, and the reactor's
-- checkpoint at 0, they come back.
CREATE TABLE reactor_timers (
    reactor text        NOT NULL,
    key     text        NOT NULL,
    about   text        NOT NULL DEFAULT '', -- what the key belongs to, such as a share's item
    due_at  timestamptz,                     -- null: nothing is due, the row is there for about
    PRIMARY KEY (reactor, key)
);
CREATE INDEX reactor_timers_due ON reactor_timers (reactor, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX reactor_timers_about ON reactor_timers (reactor, about) WHERE about <> '';
