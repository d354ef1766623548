-- +goose Up

-- The keys under which text about people is sealed (adapters/keys). A destroyed key keeps its row without the key: that it
-- was destroyed must be known for ever.
CREATE TABLE subject_keys (
    subject      text        COLLATE "C" NOT NULL,
    number       integer     NOT NULL,  -- 1, 2, 3, ... the latest seals, all open; 0: destroyed before there was one
    master       text        COLLATE "C", -- which master key wraps it: a fingerprint, not the key
    wrapped      bytea,                 -- the key, sealed by the master key; null: destroyed
    created_at   timestamptz NOT NULL,
    destroyed_at timestamptz,

    CONSTRAINT subject_keys_pkey PRIMARY KEY (subject, number),
    CONSTRAINT subject_keys_destroyed CHECK ((wrapped IS NULL) = (destroyed_at IS NOT NULL)
                                         AND (wrapped IS NULL) = (master IS NULL))
);

CREATE INDEX subject_keys_master_idx ON subject_keys (master) WHERE wrapped IS NOT NULL; -- what remains to be wrapped anew
