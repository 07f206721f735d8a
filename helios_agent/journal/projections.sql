-- How each kind of event changes the tables. A statement runs in the event's own transaction with
-- :seq, :at_us, :boot, :cause and :payload (JSON text). Nothing else writes to these tables, so they
-- can be rebuilt from the journal alone. A block begins with "-- on KIND, KIND …".

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
INSERT INTO score (game, day, era, basis, forecast, mixture_gain, mixture_nats, peak_nats, ledger, seq, expected,
                   drawn)
VALUES (:payload->>'game', :payload->>'day', :payload->>'era', :payload->>'basis', :payload->>'forecast',
        :payload->>'mixture_gain', :payload->>'$.ledger.mixture_nats', :payload->>'$.ledger.peak_nats',
        :payload->'ledger', :seq, :payload->>'$.calibration.expected', :payload->>'$.calibration.drawn');
INSERT INTO ledger (game, day, forecaster, gain_nats, cumulative_nats, weight)
SELECT :payload->>'game', :payload->>'day', gain.key, gain.value,
       standing.value->>'gain_nats', weight.value
FROM json_each(:payload, '$.gains') AS gain
JOIN json_each(:payload, '$.weights') AS weight ON weight.key = gain.key
JOIN json_each(:payload, '$.ledger.standings') AS standing ON standing.key = gain.key;

-- on intent.created
INSERT INTO intent (id, action, target, args, state, max_attempt, due_us, created_us, changed_us, seq, priority)
VALUES (:payload->>'id', :payload->>'action', :payload->>'target', :payload->'args', 'ready',
        :payload->>'max_attempt', :payload->>'due_us', :at_us, :at_us, :seq, coalesce(:payload->>'priority', 0));

-- on intent.hastened
UPDATE intent SET due_us = :payload->>'due_us', changed_us = :at_us WHERE id = :payload->>'id';

-- on intent.prioritised
UPDATE intent SET priority = :payload->>'priority', changed_us = :at_us WHERE id = :payload->>'id';

-- on intent.started
UPDATE intent SET state = 'running', attempt = attempt + 1, boot = :boot, changed_us = :at_us
WHERE id = :payload->>'id';

-- on intent.pausing
UPDATE intent SET wanted = 'pause', changed_us = :at_us WHERE id = :payload->>'id';

-- on intent.stopping
UPDATE intent SET wanted = 'stop', changed_us = :at_us WHERE id = :payload->>'id';

-- on intent.paused
-- An attempt that was paused is not over: it goes on.
UPDATE intent SET state = 'paused', attempt = attempt - (state = 'running'), wanted = NULL, changed_us = :at_us
WHERE id = :payload->>'id';

-- on intent.resumed
UPDATE intent SET state = 'ready', due_us = :payload->>'due_us', changed_us = :at_us WHERE id = :payload->>'id';

-- on intent.done
UPDATE intent SET state = 'done', result = :payload->'result', error = NULL, wanted = NULL, changed_us = :at_us
WHERE id = :payload->>'id';

-- on intent.retried
UPDATE intent SET state = 'ready', due_us = :payload->>'due_us', error = :payload->>'error', changed_us = :at_us
WHERE id = :payload->>'id';

-- on intent.released
UPDATE intent SET state = 'ready', attempt = attempt - 1, changed_us = :at_us
WHERE id = :payload->>'id';

-- on intent.expired
UPDATE intent SET state = 'expired', error = :payload->>'reason', changed_us = :at_us WHERE id = :payload->>'id';

-- on intent.cancelled
UPDATE intent SET state = 'cancelled', wanted = NULL, changed_us = :at_us WHERE id = :payload->>'id';

-- on intent.failed
UPDATE intent SET state = 'failed', error = :payload->>'error', wanted = NULL, changed_us = :at_us
WHERE id = :payload->>'id';

-- on intent.dead
UPDATE intent SET state = 'dead', error = :payload->>'error', wanted = NULL, changed_us = :at_us
WHERE id = :payload->>'id';

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

-- on search.trial
-- A search that draws or settings have changed for begins anew.
DELETE FROM search_trial WHERE job = :payload->>'job' AND number >= :payload->>'number';
INSERT INTO search_trial (job, number, question, state, parameters, gains, gain, error, cpu_seconds, seq)
VALUES (:payload->>'job', :payload->>'number', :payload->>'question', :payload->>'state', :payload->'parameters',
        :payload->'gains',
        :payload->>'gain', :payload->>'error', :payload->>'cpu_seconds', :seq);

-- on search.completed
-- One that was cut short in the training of what it had found, and then began anew, comes to its end again.
INSERT INTO search (job, game, is_adopted, at_us, seq)
VALUES (:payload->>'job', :payload->>'game', :payload->>'adopted', :at_us, :seq)
ON CONFLICT (job) DO UPDATE SET is_adopted = excluded.is_adopted, at_us = excluded.at_us, seq = excluded.seq;

-- on model.trained, model.imported
-- One that was deleted comes back under its old ordinal and prior.
UPDATE model SET role = 'retired' WHERE game = :payload->>'game' AND role = 'challenger';
INSERT INTO model (name, version, game, era, role, ordinal, prior, last_draw, draws, metrics, job, trained_us, seq)
VALUES (:payload->>'name', :payload->>'version', :payload->>'game', :payload->>'era', 'challenger',
        :payload->>'ordinal', :payload->>'prior', :payload->>'last_draw', :payload->>'draws',
        :payload->'metrics', :payload->>'job', :at_us, :seq)
ON CONFLICT (name, version) DO UPDATE SET
  role = excluded.role, job = excluded.job, trained_us = excluded.trained_us, seq = excluded.seq;

-- on model.promoted
UPDATE model SET role = 'retired' WHERE game = :payload->>'game' AND role = 'champion';
UPDATE model SET role = 'champion' WHERE name = :payload->>'name' AND version = :payload->>'version';
INSERT INTO promotion (seq, game, version, in_place_of)
VALUES (:seq, :payload->>'game', :payload->>'version', :payload->>'in_place_of');

-- on model.rolled-back
UPDATE model SET role = 'retired' WHERE name = :payload->>'name' AND version = :payload->>'version';
UPDATE model SET role = 'champion' WHERE game = :payload->>'game' AND version = :payload->>'back_to';

-- on model.retired
UPDATE model SET role = 'retired' WHERE name = :payload->>'name' AND version = :payload->>'version';

-- on model.deleted
UPDATE model SET role = 'deleted' WHERE name = :payload->>'name' AND version = :payload->>'version';

-- on backtest.progress
-- A run that was cut short begins anew.
INSERT INTO backtest (job, game, era, first, last, forecasters, done, total, gains, eta_seconds, changed_us, seq)
VALUES (:payload->>'job', :payload->>'game', :payload->>'era', :payload->>'from', :payload->>'to',
        :payload->'forecasters', :payload->>'done', :payload->>'total', :payload->'gains',
        :payload->>'eta_seconds', :at_us, :seq)
ON CONFLICT (job) DO UPDATE SET
  era = excluded.era, first = excluded.first, last = excluded.last, forecasters = excluded.forecasters,
  done = excluded.done, total = excluded.total, gains = excluded.gains, eta_seconds = excluded.eta_seconds,
  changed_us = excluded.changed_us;

-- on backtest.completed
UPDATE backtest SET done = :payload->>'done', gains = :payload->'gains', eta_seconds = NULL,
  summary = :payload->'summary', report = :payload->>'report', sha256 = :payload->>'sha256', changed_us = :at_us,
  completed = :seq
WHERE job = :payload->>'job';

-- on intent.proposed
INSERT INTO intent (id, action, target, args, state, max_attempt, due_us, created_us, changed_us, seq, priority,
                    expires_us)
VALUES (:payload->>'id', :payload->>'action', :payload->>'target', :payload->'args', 'proposed',
        :payload->>'max_attempt', :payload->>'due_us', :at_us, :at_us, :seq, coalesce(:payload->>'priority', 0),
        :payload->>'expires_us');

-- on intent.approved
UPDATE intent SET state = 'ready', due_us = :at_us, changed_us = :at_us WHERE id = :payload->>'id';

-- on intent.refused
UPDATE intent SET state = 'refused', error = :payload->>'reason', changed_us = :at_us WHERE id = :payload->>'id';

-- on work.spent
INSERT INTO spending (seq, at_us, job, action, target, cpu_seconds)
VALUES (:seq, :at_us, :payload->>'job', :payload->>'action', :payload->>'target', :payload->>'cpu_seconds');

-- on autonomy.switched
INSERT INTO autonomy (only, is_on, by, at_us) VALUES (1, :payload->>'is_on', :payload->>'by', :at_us)
ON CONFLICT (only) DO UPDATE SET is_on = excluded.is_on, by = excluded.by, at_us = excluded.at_us;

-- on choice.made
INSERT INTO choice (id, decision, game, action, target, context, urgency, price, at_us, era, champion, peak_nats)
VALUES (:payload->>'id', :payload->>'decision', :payload->>'game', :payload->>'action', :payload->>'target',
        :payload->>'context', :payload->>'urgency', :payload->>'price', :at_us, :payload->>'era',
        :payload->>'champion', :payload->>'peak_nats');

-- on decision.measured
UPDATE choice SET impact = :payload->>'impact', unit = :payload->>'unit', success = :payload->>'success',
  regret = :payload->>'regret', measured_us = :at_us WHERE id = :payload->>'id';

-- on parameter.adjusted
INSERT INTO parameter (game, name, factor, changed_us, seq)
VALUES (:payload->>'game', :payload->>'name', :payload->>'factor', :at_us, :seq)
ON CONFLICT (game, name) DO UPDATE SET
  factor = excluded.factor, changed_us = excluded.changed_us, seq = excluded.seq;

-- on goal.set
-- It takes the place of one with this id that has ended.
DELETE FROM goal WHERE id = :payload->>'id' AND state IN ('reached', 'missed', 'withdrawn');
INSERT INTO goal (id, game, name, metric, target, direction, priority, deadline_us, after, source, state, set_us,
                  changed_us, seq)
VALUES (:payload->>'id', :payload->>'game', :payload->>'name', :payload->>'metric', :payload->>'target',
        :payload->>'direction', :payload->>'priority', :payload->>'deadline_us', :payload->'after',
        :payload->>'source', 'waiting', :at_us, :at_us, :seq);

-- on goal.measured
UPDATE goal SET state = :payload->>'state', start = :payload->>'start', value = :payload->>'value',
  progress = :payload->>'progress', changed_us = :at_us WHERE id = :payload->>'id';

-- on goal.ended
UPDATE goal SET state = :payload->>'state', reason = :payload->>'reason', changed_us = :at_us
WHERE id = :payload->>'id';

-- on knowledge.learned
-- What is learned again of the same subject takes the place of what was known, and keeps its uses.
INSERT INTO knowledge (id, game, kind, subject, content, relevance, evidence, learned_us, seq)
VALUES (:payload->>'id', :payload->>'game', :payload->>'kind', :payload->>'subject', :payload->>'content',
        :payload->>'relevance', :payload->'evidence', :at_us, :seq)
ON CONFLICT (id) DO UPDATE SET
  content = excluded.content, relevance = excluded.relevance, evidence = excluded.evidence,
  learned_us = excluded.learned_us, seq = excluded.seq;

-- on knowledge.forgotten
DELETE FROM knowledge WHERE id = :payload->>'id';

-- on decision.made
UPDATE knowledge SET uses = uses + 1, used_us = :at_us
WHERE id IN (SELECT value FROM json_each(:payload, '$.knowledge'));

-- on training.summarised
INSERT INTO training_summary (job, epochs, first_loss, final_loss, best_loss, best_epoch, best_gain_nats,
                              instability, seconds, at_us, seq)
VALUES (:payload->>'job', :payload->>'epochs', :payload->>'first_loss', :payload->>'final_loss',
        :payload->>'best_loss', :payload->>'best_epoch', :payload->>'best_gain_nats', :payload->>'instability',
        :payload->>'seconds', :at_us, :seq);
DELETE FROM epoch WHERE job = :payload->>'job';

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

-- on agent.started, config.reloaded
INSERT INTO schedule (name, since_us)
SELECT known.value, :at_us FROM json_each(:payload, '$.schedules') AS known WHERE true
ON CONFLICT (name) DO UPDATE SET since_us = min(since_us, excluded.since_us);

-- on journal.sealed
INSERT INTO seal (upto, first, hash, archive, sha256, at_us)
VALUES (:payload->>'upto', :payload->>'from', :payload->>'hash', :payload->>'archive', :payload->>'sha256', :at_us);

-- on journal.purged
-- What was asked for until then and has ended goes with them. The last firing of each schedule stays: it says from when on
-- the schedule is due again. What is wrong outlives its event until it is put right.
DELETE FROM epoch WHERE job IN (
  SELECT id FROM intent WHERE seq <= :payload->>'upto'
  AND state IN ('done', 'failed', 'dead', 'refused', 'expired', 'cancelled'));
DELETE FROM search_trial WHERE job IN (
  SELECT id FROM intent WHERE seq <= :payload->>'upto'
  AND state IN ('done', 'failed', 'dead', 'refused', 'expired', 'cancelled'));
DELETE FROM backtest WHERE report IS NULL AND job IN (
  SELECT id FROM intent WHERE seq <= :payload->>'upto'
  AND state IN ('done', 'failed', 'dead', 'refused', 'expired', 'cancelled'));
DELETE FROM intent WHERE seq <= :payload->>'upto'
  AND state IN ('done', 'failed', 'dead', 'refused', 'expired', 'cancelled')
  AND id NOT IN (SELECT id FROM choice WHERE measured_us IS NULL);
DELETE FROM firing WHERE seq BETWEEN :payload->>'from' AND :payload->>'upto'
  AND due_us < (SELECT max(due_us) FROM firing AS last WHERE last.schedule = firing.schedule);
DELETE FROM outbox WHERE event BETWEEN :payload->>'from' AND :payload->>'upto' AND state <> 'pending';
DELETE FROM incident WHERE seq <= :payload->>'upto' AND closed_us IS NOT NULL;
UPDATE seal SET purged = min(upto, :payload->>'upto') WHERE first <= :payload->>'upto';
DELETE FROM event WHERE seq BETWEEN :payload->>'from' AND :payload->>'upto';
