-- Time is microseconds since 1970-01-01 UTC (`_us`); days are nominal draw days, ISO 8601 text.
-- `event` is the truth. Every other table is a projection of it (see journal/projections.sql).

CREATE TABLE event (
  seq     INTEGER PRIMARY KEY,
  at_us   INTEGER NOT NULL,
  mono_us INTEGER NOT NULL,                 -- the boot's own monotonic clock, for measuring steps
  boot    TEXT NOT NULL,
  kind    TEXT NOT NULL,
  cause   INTEGER REFERENCES event(seq),
  payload TEXT NOT NULL CHECK (json_valid(payload)),
  prev    BLOB NOT NULL CHECK (length(prev) = 32),
  hash    BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX event_kind ON event(kind, seq);
CREATE TRIGGER event_never_edited BEFORE UPDATE ON event
  BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER event_never_replaced BEFORE INSERT ON event -- INSERT OR REPLACE fires no trigger on DELETE
  WHEN NEW.seq <= (SELECT max(seq) FROM event)
  BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER event_never_deleted BEFORE DELETE ON event
  BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

CREATE TABLE draw (
  game       TEXT NOT NULL,
  day        TEXT NOT NULL,
  whites     TEXT NOT NULL CHECK (json_valid(whites)),  -- in drawn order where `ordered`, else ascending
  bonus      INTEGER NOT NULL,
  multiplier INTEGER,
  ordered    INTEGER NOT NULL,
  source     TEXT NOT NULL,
  seq        INTEGER NOT NULL REFERENCES event(seq),
  PRIMARY KEY (game, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE feed (
  game          TEXT NOT NULL,
  source        TEXT NOT NULL,
  read_us       INTEGER,                    -- last time it answered
  failed_us     INTEGER,                    -- last time it did not
  failures      INTEGER NOT NULL DEFAULT 0, -- failures since it last answered
  error         TEXT,
  etag          TEXT,
  last_modified TEXT,
  PRIMARY KEY (game, source)
) STRICT, WITHOUT ROWID;

CREATE TABLE incident (
  seq       INTEGER PRIMARY KEY REFERENCES event(seq),
  key       TEXT NOT NULL,                  -- what it is about: one open incident a key
  kind      TEXT NOT NULL,
  message   TEXT NOT NULL,
  opened_us INTEGER NOT NULL,
  closed_us INTEGER
) STRICT;
CREATE UNIQUE INDEX incident_open ON incident(key) WHERE closed_us IS NULL;

CREATE TABLE forecast (                     -- registered forecasts; the numbers are in the event's payload
  seq    INTEGER PRIMARY KEY REFERENCES event(seq),
  game   TEXT NOT NULL,
  day    TEXT NOT NULL,
  at_us  INTEGER NOT NULL,
  digest TEXT NOT NULL
) STRICT;
CREATE INDEX forecast_day ON forecast(game, day, seq);

CREATE TABLE score (
  game          TEXT NOT NULL,
  day           TEXT NOT NULL,
  era           TEXT NOT NULL,
  basis         TEXT NOT NULL CHECK (basis IN ('registered', 'walk-forward')),
  forecast      INTEGER REFERENCES forecast(seq),
  mixture_gain  REAL NOT NULL,              -- log-score gain over uniform, nats
  mixture_nats  REAL NOT NULL,              -- its sum over the era so far
  peak_nats     REAL NOT NULL,              -- the sum's running maximum
  ledger        TEXT NOT NULL CHECK (json_valid(ledger)),  -- the ledger's state after this draw
  seq           INTEGER NOT NULL REFERENCES event(seq),
  PRIMARY KEY (game, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger (
  game            TEXT NOT NULL,
  day             TEXT NOT NULL,
  forecaster      TEXT NOT NULL,
  gain_nats       REAL NOT NULL,
  cumulative_nats REAL NOT NULL,
  weight          REAL NOT NULL,            -- in the mixture that was scored, before this draw
  PRIMARY KEY (game, day, forecaster)
) STRICT, WITHOUT ROWID;

CREATE TABLE intent (
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
  seq         INTEGER NOT NULL REFERENCES event(seq)
) STRICT;
CREATE INDEX intent_due ON intent(due_us) WHERE state = 'ready';
CREATE UNIQUE INDEX intent_one_waiting ON intent(action, target) WHERE state IN ('proposed', 'ready');
CREATE UNIQUE INDEX intent_one_running ON intent(action, target) WHERE state = 'running';
CREATE INDEX intent_action ON intent(action, seq);

CREATE TABLE firing (
  schedule TEXT NOT NULL,
  due_us   INTEGER NOT NULL,
  outcome  TEXT NOT NULL CHECK (outcome IN ('run', 'coalesced', 'expired', 'paused')),
  seq      INTEGER NOT NULL REFERENCES event(seq),
  PRIMARY KEY (schedule, due_us)
) STRICT, WITHOUT ROWID;

CREATE TABLE epoch (                        -- one row an epoch of a training job's latest run
  job                  TEXT NOT NULL REFERENCES intent(id),
  epoch                INTEGER NOT NULL,
  epochs               INTEGER NOT NULL,
  loss                 REAL NOT NULL,       -- nats a draw
  validation_loss      REAL NOT NULL,
  validation_gain_nats REAL NOT NULL,
  seconds              REAL NOT NULL,
  eta_seconds          REAL NOT NULL,
  seq                  INTEGER NOT NULL REFERENCES event(seq),
  PRIMARY KEY (job, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE model (
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
  seq        INTEGER NOT NULL REFERENCES event(seq),
  PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX model_role ON model(game, role) WHERE role IN ('challenger', 'champion');

CREATE TABLE outbox (
  id       TEXT PRIMARY KEY,                -- the webhook-id its receiver sees on every attempt
  endpoint TEXT NOT NULL,
  event    INTEGER NOT NULL REFERENCES event(seq),
  state    TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'dead')),
  attempt  INTEGER NOT NULL DEFAULT 0,
  next_us  INTEGER NOT NULL,
  status   INTEGER,
  error    TEXT,
  UNIQUE (event, endpoint)
) STRICT;
CREATE INDEX outbox_due ON outbox(next_us) WHERE state = 'pending';
