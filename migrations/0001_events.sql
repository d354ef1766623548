-- +goose Up

-- The log: what happened, in order, for ever. The Postgres store (eventstore/postgres) writes it, and nobody else does.
CREATE TABLE events (
    position    bigint      NOT NULL,             -- place in the whole log: 1, 2, 3, ... without a gap
    origin      bigint      NOT NULL,             -- of the stream: the position of its revision 0; names it in the indexes
    revision    bigint      NOT NULL,             -- place in the stream: 0, 1, 2, ...
    recorded_at timestamptz NOT NULL,             -- set by the store; never before that of an earlier position
    event_id    uuid        NOT NULL,
    stream      text        COLLATE "C" NOT NULL, -- its category is the part before the first '-'
    type        text        COLLATE "C" NOT NULL,
    data        bytea       NOT NULL,             -- bytes, not jsonb: they are hashed and proved, and never rewritten
    metadata    bytea       NOT NULL,

    CONSTRAINT events_pkey PRIMARY KEY (position),
    CONSTRAINT events_revision_key UNIQUE (origin, revision)
);

-- A number of eight bytes in the place of a name of some forty: these indexes are half as large, and quicker to write.
CREATE UNIQUE INDEX events_stream_key ON events (stream) WHERE revision = 0;

-- Ids are for ever: no stream has one twice. The expression is the origin, but not to the planner, so that it cannot take this index
-- for reading a stream, where it would have to sort.
CREATE UNIQUE INDEX events_id_key ON events ((origin | 0), event_id);

-- Every key above grows at its right end or near it: appending costs the same at 1 M and at 20 M events.

-- Where the events of a category and type are: per block of 1024 positions, written with the event that completes the block. It takes
-- the place of two indexes with an entry for each event, which cost a fifth of all the work of appending.
CREATE TABLE events_blocks (
    type        text       COLLATE "C" NOT NULL,
    category    text       COLLATE "C" NOT NULL,
    block       bigint     NOT NULL, -- 0 has the positions 1..1024
    places      smallint[] NOT NULL, -- in the block, 0..1023, in no order

    CONSTRAINT events_blocks_pkey PRIMARY KEY (type, block, category)
);

CREATE INDEX events_blocks_category_idx ON events_blocks (category, block);

ALTER TABLE events_blocks ALTER COLUMN places SET STORAGE PLAIN; -- at most 2 kB

-- Data is mostly sealed text, which does not compress: to try would cost every append time and win nothing.
ALTER TABLE events ALTER COLUMN data SET STORAGE EXTERNAL, ALTER COLUMN metadata SET STORAGE EXTERNAL;

-- The one head row is the lock, the counter and the proof of order: whoever appends holds it until the commit.
CREATE TABLE events_head (
    one         boolean     NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    position    bigint      NOT NULL,
    recorded_at timestamptz NOT NULL
) WITH (fillfactor = 10); -- room for updates in place: the row is rewritten at each batch

INSERT INTO events_head (position, recorded_at) VALUES (0, 'epoch');

-- History does not change, not even by accident.
-- +goose StatementBegin
CREATE FUNCTION events_are_for_ever() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are appended, never changed or removed' USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd

CREATE TRIGGER events_unchanged BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION events_are_for_ever();
CREATE TRIGGER events_blocks_unchanged BEFORE UPDATE OR DELETE OR TRUNCATE ON events_blocks
    FOR EACH STATEMENT EXECUTE FUNCTION events_are_for_ever();
CREATE TRIGGER events_head_kept BEFORE DELETE OR TRUNCATE ON events_head
    FOR EACH STATEMENT EXECUTE FUNCTION events_are_for_ever();
