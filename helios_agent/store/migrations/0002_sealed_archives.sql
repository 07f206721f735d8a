-- Old events are sealed in archives and then removed, so no table may require that the event it came from
-- is still there: REFERENCES event(seq) goes. SQLite changes constraints only by copying a table.

-- AUTOINCREMENT keeps the largest seq there ever was in sqlite_sequence: a cut tail shows.
CREATE TABLE new_event (
  seq     INTEGER PRIMARY KEY AUTOINCREMENT,
  at_us   INTEGER NOT NULL,
  mono_us INTEGER NOT NULL,                 -- the boot's own monotonic clock, for measuring steps
  boot    TEXT NOT NULL,
  kind    TEXT NOT NULL,
  cause   INTEGER,                          -- an earlier event, which may be archived by now
  payload TEXT NOT NULL CHECK (json_valid(payload)),
  prev    BLOB NOT NULL CHECK (length(prev) = 32),
  hash    BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
INSERT INTO new_event (seq, at_us, mono_us, boot, kind, cause, payload, prev, hash)
SELECT seq, at_us, mono_us, boot, kind, cause, payload, prev, hash FROM event ORDER BY seq;
DROP TABLE event;
ALTER TABLE new_event RENAME TO event;
CREATE INDEX event_kind ON event(kind, seq);

CREATE TABLE new_draw (
  game       TEXT NOT NULL,
  day        TEXT NOT NULL,
  whites     TEXT NOT NULL CHECK (json_valid(whites)),  -- in drawn order where `ordered`, else ascending
  bonus      INTEGER NOT NULL,
  multiplier INTEGER,
  ordered    INTEGER NOT NULL,
  source     TEXT NOT NULL,
  seq        INTEGER NOT NULL,
  PRIMARY KEY (game, day)
) STRICT, WITHOUT ROWID;
INSERT INTO new_draw SELECT game, day, whites, bonus, multiplier, ordered, source, seq FROM draw;
DROP TABLE draw;
ALTER TABLE new_draw RENAME TO draw;

CREATE TABLE new_incident (
  seq       INTEGER PRIMARY KEY,
  key       TEXT NOT NULL,                  -- what it is about: one open incident a key
  kind      TEXT NOT NULL,
  message   TEXT NOT NULL,
  opened_us INTEGER NOT NULL,
  closed_us INTEGER
) STRICT;
INSERT INTO new_incident SELECT seq, key, kind, message, opened_us, closed_us FROM incident;
DROP TABLE incident;
ALTER TABLE new_incident RENAME TO incident;
CREATE UNIQUE INDEX incident_open ON incident(key) WHERE closed_us IS NULL;

CREATE TABLE new_forecast (                 -- registered forecasts; the numbers are in the event's payload
  seq    INTEGER PRIMARY KEY,
  game   TEXT NOT NULL,
  day    TEXT NOT NULL,
  at_us  INTEGER NOT NULL,
  digest TEXT NOT NULL
) STRICT;
INSERT INTO new_forecast SELECT seq, game, day, at_us, digest FROM forecast;
DROP TABLE forecast;
ALTER TABLE new_forecast RENAME TO forecast;
CREATE INDEX forecast_day ON forecast(game, day, seq);

CREATE TABLE new_score (
  game          TEXT NOT NULL,
  day           TEXT NOT NULL,
  era           TEXT NOT NULL,
  basis         TEXT NOT NULL CHECK (basis IN ('registered', 'walk-forward')),
  forecast      INTEGER REFERENCES forecast(seq),
  mixture_gain  REAL NOT NULL,              -- log-score gain over uniform, nats
  mixture_nats  REAL NOT NULL,              -- its sum over the era so far
  peak_nats     REAL NOT NULL,              -- the sum's running maximum
  ledger        TEXT NOT NULL CHECK (json_valid(ledger)),  -- the ledger's state after this draw
  seq           INTEGER NOT NULL,
  PRIMARY KEY (game, day)
) STRICT, WITHOUT ROWID;
INSERT INTO new_score
SELECT game, day, era, basis, forecast, mixture_gain, mixture_nats, peak_nats, ledger, seq FROM score;
DROP TABLE score;
ALTER TABLE new_score RENAME TO score;

CREATE TABLE new_intent (
  id          TEXT PRIMARY KEY,
  action      TEXT NOT NULL,
  target      TEXT NOT NULL,
  args        TEXT NOT NULL CHECK (json_valid(args)),
  state       TEXT NOT NULL CHECK (state IN
    ('proposed', 'ready', 'running', 'done', 'failed', 'dead', 'refused', 'expired')),
  attempt     INTEGER NOT NULL DEFAULT 0,
  max_attempt INTEGER NOT NULL,
  due_us      INTEGER NOT NULL,
  boot        TEXT,                         -- who runs it
  error       TEXT,
  result      TEXT CHECK (result IS NULL OR json_valid(result)),
  created_us  INTEGER NOT NULL,
  changed_us  INTEGER NOT NULL,
  seq         INTEGER NOT NULL
) STRICT;
INSERT INTO new_intent
SELECT id, action, target, args, state, attempt, max_attempt, due_us, boot, error, result, created_us,
       changed_us, seq FROM intent;
DROP TABLE intent;
ALTER TABLE new_intent RENAME TO intent;
CREATE INDEX intent_due ON intent(due_us) WHERE state = 'ready';
CREATE UNIQUE INDEX intent_one_waiting ON intent(action, target) WHERE state IN ('proposed', 'ready');
CREATE UNIQUE INDEX intent_one_running ON intent(action, target) WHERE state = 'running';
CREATE INDEX intent_action ON intent(action, seq);
CREATE INDEX intent_open ON intent(state) WHERE state IN ('proposed', 'ready', 'running');
CREATE INDEX intent_seq ON intent(seq);
-- An action's effects are committed together with the end of its intent. These two make that the law of the
-- database: no intent has its effects twice.
CREATE TRIGGER intent_ends_once BEFORE UPDATE OF state ON intent
  WHEN OLD.state IN ('done', 'failed', 'dead', 'refused', 'expired')
  BEGIN SELECT RAISE(ABORT, 'the intent has ended already'); END;
CREATE TRIGGER intent_ends_by_running BEFORE UPDATE OF state ON intent
  WHEN NEW.state IN ('done', 'failed', 'dead') AND OLD.state <> 'running'
  BEGIN SELECT RAISE(ABORT, 'the intent is not running'); END;

CREATE TABLE new_firing (
  schedule TEXT NOT NULL,
  due_us   INTEGER NOT NULL,
  outcome  TEXT NOT NULL CHECK (outcome IN ('run', 'coalesced', 'expired', 'paused')),
  seq      INTEGER NOT NULL,
  PRIMARY KEY (schedule, due_us)
) STRICT, WITHOUT ROWID;
INSERT INTO new_firing SELECT schedule, due_us, outcome, seq FROM firing;
DROP TABLE firing;
ALTER TABLE new_firing RENAME TO firing;
CREATE INDEX firing_seq ON firing(seq);

CREATE TABLE schedule (                     -- since when a schedule is known: it owes no earlier instant
  name     TEXT PRIMARY KEY,
  since_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO schedule
SELECT known.value, min(at_us) FROM event, json_each(event.payload, '$.schedules') AS known
WHERE kind = 'agent.started' GROUP BY known.value;

CREATE TABLE new_epoch (                    -- one row an epoch of a training job's latest run
  job                  TEXT NOT NULL REFERENCES intent(id),
  epoch                INTEGER NOT NULL,
  epochs               INTEGER NOT NULL,
  loss                 REAL NOT NULL,       -- nats a draw
  validation_loss      REAL NOT NULL,
  validation_gain_nats REAL NOT NULL,
  seconds              REAL NOT NULL,
  eta_seconds          REAL NOT NULL,
  seq                  INTEGER NOT NULL,
  PRIMARY KEY (job, epoch)
) STRICT, WITHOUT ROWID;
INSERT INTO new_epoch
SELECT job, epoch, epochs, loss, validation_loss, validation_gain_nats, seconds, eta_seconds, seq FROM epoch;
DROP TABLE epoch;
ALTER TABLE new_epoch RENAME TO epoch;

CREATE TABLE new_model (
  name       TEXT NOT NULL,
  version    TEXT NOT NULL,
  game       TEXT NOT NULL,
  era        TEXT NOT NULL,
  role       TEXT NOT NULL CHECK (role IN ('challenger', 'champion', 'retired')),
  ordinal    INTEGER NOT NULL,              -- the how-many-th model to join this era's mixture
  prior      REAL NOT NULL,                 -- its share of the mixture's prior
  last_draw  TEXT NOT NULL,                 -- the last draw it was trained on
  draws      INTEGER NOT NULL,
  metrics    TEXT NOT NULL CHECK (json_valid(metrics)),
  job        TEXT NOT NULL,
  trained_us INTEGER NOT NULL,
  seq        INTEGER NOT NULL,
  PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;
INSERT INTO new_model
SELECT name, version, game, era, role, ordinal, prior, last_draw, draws, metrics, job, trained_us, seq
FROM model;
DROP TABLE model;
ALTER TABLE new_model RENAME TO model;
CREATE UNIQUE INDEX model_role ON model(game, role) WHERE role IN ('challenger', 'champion');

CREATE TABLE new_outbox (
  id       TEXT PRIMARY KEY,                -- the webhook-id its receiver sees on every attempt
  endpoint TEXT NOT NULL,
  event    INTEGER NOT NULL,
  state    TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'dead')),
  attempt  INTEGER NOT NULL DEFAULT 0,
  next_us  INTEGER NOT NULL,
  status   INTEGER,
  error    TEXT,
  UNIQUE (event, endpoint)
) STRICT;
INSERT INTO new_outbox
SELECT id, endpoint, event, state, attempt, next_us, status, error FROM outbox ORDER BY rowid;
DROP TABLE outbox;
ALTER TABLE new_outbox RENAME TO outbox;
CREATE INDEX outbox_due ON outbox(next_us) WHERE state = 'pending';

CREATE TABLE seal (                         -- what stands in archives; only that may leave the database
  upto    INTEGER PRIMARY KEY,              -- the last event of the archive …
  first   INTEGER NOT NULL,                 -- … and its first
  hash    TEXT NOT NULL CHECK (length(hash) = 64),      -- the last event's, hex
  archive TEXT NOT NULL UNIQUE,             -- the file's name
  sha256  TEXT NOT NULL CHECK (length(sha256) = 64),    -- of the file, hex
  at_us   INTEGER NOT NULL,
  purged  INTEGER NOT NULL DEFAULT 0        -- up to which event they have left the database
) STRICT;

CREATE TRIGGER event_never_edited BEFORE UPDATE ON event
  BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER event_never_replaced BEFORE INSERT ON event -- INSERT OR REPLACE fires no trigger on DELETE
  WHEN NEW.seq <= (SELECT max(seq) FROM event)
  BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER event_never_deleted BEFORE DELETE ON event
  WHEN OLD.seq > (SELECT coalesce(max(upto), 0) FROM seal)
  BEGIN SELECT RAISE(ABORT, 'the journal is append-only: what is not sealed stays'); END;

CREATE TABLE schema_step (                  -- which Helios brought the schema to each version
  version INTEGER PRIMARY KEY,
  helios  TEXT NOT NULL
) STRICT;
