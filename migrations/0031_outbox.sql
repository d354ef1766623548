-- +goose Up

-- What is on its way to people, lane by lane (a person's mail, a webhook endpoint), in the order of the log. It follows from
-- notification.sent; what became of each stands in the log.
CREATE TABLE reactor_outbox (
    reactor      text        NOT NULL,
    lane         text        NOT NULL,
    position     bigint      NOT NULL, -- of the notification
    person       text        NOT NULL,
    notification text        NOT NULL,
    attempts     integer     NOT NULL DEFAULT 0, -- that failed
    raised_at    timestamptz NOT NULL,           -- when the person was first told
    due_at       timestamptz NOT NULL,           -- nothing of the lane goes before its first does
    PRIMARY KEY (reactor, lane, position)
);
