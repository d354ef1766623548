-- +goose Up

-- A letter that is being sent says until when it can be. Whoever has a person forgotten waits for those: after the answer nothing
-- leaves any more.
ALTER TABLE reactor_outbox ADD COLUMN leaving_until timestamptz; -- by the database's clock; null: it is not being sent
CREATE INDEX reactor_outbox_person ON reactor_outbox (person);
