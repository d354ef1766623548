-- +goose Up

-- A key whose secret was changed is believed with the one before for a while, so that programs can be told the new one in turn.
ALTER TABLE api_keys
    ADD COLUMN previous_sha256 bytea,
    ADD COLUMN previous_until  timestamptz;
