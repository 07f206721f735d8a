-- How each kind of event changed the tables of the first schema.

-- on history.imported, draw.ingested
INSERT INTO draw (game, day, whites, bonus, multiplier, ordered, source, seq)
SELECT :payload->>'game', :payload->>'day', :payload->'whites', :payload->>'bonus', :payload->>'multiplier',
       :payload->>'ordered', :payload->>'source', :seq;

-- on feed.read
INSERT INTO feed (game, source, read_us, failures, etag, last_modified)
VALUES (:payload->>'game', :payload->>'source', :at_us, 0, :payload->>'etag', :payload->>'last_modified')
ON CONFLICT (game, source) DO UPDATE SET
  read_us = excluded.read_us, failures = 0, error = NULL, etag = excluded.etag, last_modified = excluded.last_modified;

-- on feed.failed
INSERT INTO feed (game, source, failed_us, failures, error)
VALUES (:payload->>'game', :payload->>'source', :at_us, 1, :payload->>'error')
ON CONFLICT (game, source) DO UPDATE SET
  failed_us = excluded.failed_us, failures = feed.failures + 1, error = excluded.error;

-- on incident.opened
INSERT INTO incident (seq, key, kind, message, opened_us)
VALUES (:seq, :payload->>'key', :payload->>'kind', :payload->>'message', :at_us);

-- on incident.closed
UPDATE incident SET closed_us = :at_us WHERE key = :payload->>'key' AND closed_us IS NULL;

-- on forecast.registered
INSERT INTO forecast (seq, game, day, at_us, digest)
VALUES (:seq, :payload->>'game', :payload->>'day', :at_us, :payload->>'digest');

-- on history.scored, forecast.scored
INSERT INTO score (game, day, era, basis, forecast, mixture_gain, mixture_nats, peak_nats, ledger, seq)
VALUES (:payload->>'game', :payload->>'day', :payload->>'era', :payload->>'basis', :payload->>'forecast',
        :payload->>'mixture_gain', :payload->>'$.ledger.mixture_nats', :payload->>'$.ledger.peak_nats',
        :payload->'ledger', :seq);
INSERT INTO ledger (game, day, forecaster, gain_nats, cumulative_nats, weight)
SELECT :payload->>'game', :payload->>'day', gain.key, gain.value,
       standing.value->>'gain_nats', weight.value
FROM json_each(:payload, '$.gains') AS gain
JOIN json_each(:payload, '$.weights') AS weight ON weight.key = gain.key
JOIN json_each(:payload, '$.ledger.standings') AS standing ON standing.key = gain.key;

-- on intent.created
INSERT INTO intent (id, action, target, args, state, max_attempt, due_us, created_us, changed_us, seq)
VALUES (:payload->>'id', :payload->>'action', :payload->>'target', :payload->'args', 'ready',
        :payload->>'max_attempt', :payload->>'due_us', :at_us, :at_us, :seq);

-- on intent.hastened
UPDATE intent SET due_us = :payload->>'due_us', changed_us = :at_us WHERE id = :payload->>'id';

-- on intent.started
UPDATE intent SET state = 'running', attempt = attempt + 1, boot = :boot, changed_us = :at_us
WHERE id = :payload->>'id';

-- on intent.done
UPDATE intent SET state = 'done', result = :payload->'result', error = NULL, changed_us = :at_us
WHERE id = :payload->>'id';

-- on intent.retried
UPDATE intent SET state = 'ready', due_us = :payload->>'due_us', error = :payload->>'error', changed_us = :at_us
WHERE id = :payload->>'id';

-- on intent.released
UPDATE intent SET state = 'ready', attempt = attempt - 1, changed_us = :at_us
WHERE id = :payload->>'id';

-- on intent.expired
UPDATE intent SET state = 'expired', error = :payload->>'reason', changed_us = :at_us WHERE id = :payload->>'id';

-- on intent.failed
UPDATE intent SET state = 'failed', error = :payload->>'error', changed_us = :at_us WHERE id = :payload->>'id';

-- on intent.dead
UPDATE intent SET state = 'dead', error = :payload->>'error', changed_us = :at_us WHERE id = :payload->>'id';

-- on schedule.fired
INSERT INTO firing (schedule, due_us, outcome, seq)
VALUES (:payload->>'schedule', :payload->>'due_us', :payload->>'outcome', :seq);

-- on schedule.rewound
DELETE FROM firing WHERE schedule = :payload->>'schedule' AND due_us > :payload->>'after_us';

-- on training.epoch
-- A run that was cut short begins anew, and takes the place of the epochs of the one before.
DELETE FROM epoch WHERE job = :payload->>'job' AND epoch >= :payload->>'epoch';
INSERT INTO epoch (job, epoch, epochs, loss, validation_loss, validation_gain_nats, seconds, eta_seconds, seq)
VALUES (:payload->>'job', :payload->>'epoch', :payload->>'epochs', :payload->>'loss',
        :payload->>'validation_loss', :payload->>'validation_gain_nats', :payload->>'seconds',
        :payload->>'eta_seconds', :seq);

-- on model.trained
UPDATE model SET role = 'retired' WHERE game = :payload->>'game' AND role = 'challenger';
INSERT INTO model (name, version, game, era, role, ordinal, prior, last_draw, draws, metrics, job, trained_us, seq)
VALUES (:payload->>'name', :payload->>'version', :payload->>'game', :payload->>'era', 'challenger',
        :payload->>'ordinal', :payload->>'prior', :payload->>'last_draw', :payload->>'draws',
        :payload->'metrics', :payload->>'job', :at_us, :seq);

-- on model.promoted
UPDATE model SET role = 'retired' WHERE game = :payload->>'game' AND role = 'champion';
UPDATE model SET role = 'champion' WHERE name = :payload->>'name' AND version = :payload->>'version';

-- on webhook.queued
INSERT INTO outbox (id, endpoint, event, state, next_us)
VALUES (:payload->>'id', :payload->>'endpoint', :payload->>'event', 'pending', :at_us);

-- on webhook.sent
UPDATE outbox SET state = 'sent', attempt = attempt + 1, status = :payload->>'status', error = NULL
WHERE id = :payload->>'id';

-- on webhook.failed
UPDATE outbox SET attempt = attempt + 1, status = :payload->>'status', error = :payload->>'error',
  next_us = :payload->>'next_us' WHERE id = :payload->>'id';

-- on webhook.dead
UPDATE outbox SET state = 'dead', attempt = attempt + 1, status = :payload->>'status', error = :payload->>'error'
WHERE id = :payload->>'id';
