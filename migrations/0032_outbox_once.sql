-- +goose Up

-- A letter that is being sent keeps the digest it goes in, so that sending it again after a kill is sending the same mail; and it
-- keeps the request whose replay it is, so that reacting to the request again queues it once.
ALTER TABLE reactor_outbox
    ADD COLUMN digest text   NOT NULL DEFAULT '', -- id of the e-mail, from the first attempt on
    ADD COLUMN replay bigint NOT NULL DEFAULT 0;  -- position of the request; 0: it is no replay
