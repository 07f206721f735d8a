-- The agent learns what its decisions are worth, what it knows, and what it is to reach.

ALTER TABLE intent ADD COLUMN expires_us INTEGER;  -- a proposal that nobody has approved by then is refused

CREATE TABLE spending (                     -- the processor time that an attempt at an action took in workers
  seq         INTEGER PRIMARY KEY,
  at_us       INTEGER NOT NULL,
  job         TEXT NOT NULL,                -- the intent; it may have left the database
  action      TEXT NOT NULL,
  target      TEXT NOT NULL,
  cpu_seconds REAL NOT NULL
) STRICT;
CREATE INDEX spending_at ON spending(at_us);
CREATE INDEX spending_job ON spending(job);

CREATE TABLE autonomy (                     -- the kill switch; no row: the agent decides for itself
  only        INTEGER PRIMARY KEY CHECK (only = 1),
  is_on       INTEGER NOT NULL CHECK (is_on IN (0, 1)),
  by          TEXT NOT NULL,
  at_us       INTEGER NOT NULL
) STRICT;

CREATE TABLE choice (                       -- what decisions chose to do, and what came of it
  id          TEXT PRIMARY KEY,             -- the intent's
  decision    INTEGER NOT NULL,             -- the event
  game        TEXT NOT NULL,
  action      TEXT NOT NULL,                -- as the decision engine names it: see decisions/catalogue.py
  target      TEXT NOT NULL,
  context     TEXT NOT NULL CHECK (context IN ('quiet', 'suspicious', 'alarmed')),
  urgency     REAL NOT NULL,
  price       REAL NOT NULL,                -- what its expected costs took from its score
  at_us       INTEGER NOT NULL,
  impact      REAL,                         -- measured, in `unit`; NULL where nothing could be
  unit        TEXT,
  success     INTEGER CHECK (success IN (0, 1)),     -- NULL: not measured yet, or nothing can be said
  regret      REAL,
  measured_us INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX choice_action ON choice(game, action, context);
CREATE INDEX choice_unmeasured ON choice(game) WHERE measured_us IS NULL;
CREATE INDEX choice_decision ON choice(decision);

CREATE TABLE parameter (                    -- settings that decisions have changed
  game        TEXT NOT NULL,
  name        TEXT NOT NULL,
  factor      REAL NOT NULL CHECK (factor > 0),  -- of what is configured
  changed_us  INTEGER NOT NULL,
  seq         INTEGER NOT NULL,
  PRIMARY KEY (game, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE goal (
  id          TEXT PRIMARY KEY,
  game        TEXT NOT NULL,
  name        TEXT NOT NULL,
  metric      TEXT NOT NULL,                -- a signal
  target      REAL NOT NULL,
  direction   TEXT NOT NULL CHECK (direction IN ('at least', 'at most')),
  priority    TEXT NOT NULL CHECK (priority IN ('critical', 'high', 'medium', 'low')),
  deadline_us INTEGER,
  after       TEXT NOT NULL CHECK (json_valid(after)),  -- ids of the goals that must be reached before
  source      TEXT NOT NULL CHECK (source IN ('configuration', 'person')),
  state       TEXT NOT NULL CHECK (state IN ('waiting', 'open', 'reached', 'missed', 'withdrawn')),
  start       REAL,                         -- the metric when the goal was opened; NULL: not known yet
  value       REAL,                         -- the metric when it was last measured
  progress    REAL,                         -- share of the way from start to target, at most 1
  reason      TEXT,                         -- why it ended without being reached
  set_us      INTEGER NOT NULL,
  changed_us  INTEGER NOT NULL,
  seq         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE knowledge (                    -- what the agent has learned and not forgotten
  id          TEXT PRIMARY KEY,
  game        TEXT NOT NULL,
  kind        TEXT NOT NULL,                -- see metacognition/knowledge.py
  subject     TEXT NOT NULL,
  content     TEXT NOT NULL,
  relevance   REAL NOT NULL CHECK (relevance BETWEEN 0 AND 1),
  evidence    TEXT NOT NULL CHECK (json_valid(evidence)),
  uses        INTEGER NOT NULL DEFAULT 0,   -- decisions that it bore on
  learned_us  INTEGER NOT NULL,
  used_us     INTEGER,
  seq         INTEGER NOT NULL,
  UNIQUE (game, kind, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE training_summary (             -- what is left of the epochs of a training that ended long ago
  job          TEXT PRIMARY KEY,
  epochs       INTEGER NOT NULL,
  first_loss   REAL NOT NULL,               -- nats a draw
  final_loss   REAL NOT NULL,
  best_loss    REAL NOT NULL,               -- on validation
  best_epoch   INTEGER NOT NULL,
  best_gain_nats REAL NOT NULL,             -- on validation
  instability  REAL NOT NULL,               -- root mean square of the changes of the validation loss, nats
  seconds      REAL NOT NULL,
  at_us        INTEGER NOT NULL,
  seq          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
