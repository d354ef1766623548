-- +goose Up

-- How far each read model has come. The tables of the read models themselves are made by the engine from the projections' row
-- types, because a rebuild by a newer program makes them in another shape beside the old ones.
create table projections (
    name         text primary key,
    position     bigint      not null,            -- everything up to here has been taken in
    generation   bigint      not null default 1,  -- raised when rows change other than by following the log: rebuild, rollback, retry
    shape        text        not null,            -- fingerprint of the table
    holder       uuid,                            -- the process that projects
    held_until   timestamptz,                     -- by the database's clock; afterwards another may take over
    updated_at   timestamptz not null,
    old_position bigint,                          -- of the table that the last rebuild replaced, while it is kept
    old_shape    text
);

-- Events that could not be processed, and those that wait behind them, per row.
create table projection_parked (
    projection text        not null,
    key        text        not null,   -- '' when it could not be told
    position   bigint      not null,
    reason     text        not null,   -- '' for an event that waits behind another
    at         timestamptz not null,
    primary key (projection, key, position)
);
