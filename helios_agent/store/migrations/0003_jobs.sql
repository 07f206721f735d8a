-- Whoever asked for something can have it paused, go on, stopped, or done before others.
-- SQLite changes constraints only by copying a table.

CREATE TABLE new_intent (
  id          TEXT PRIMARY KEY,
  action      TEXT NOT NULL,
  target      TEXT NOT NULL,
  args        TEXT NOT NULL CHECK (json_valid(args)),
  state       TEXT NOT NULL CHECK (state IN
    ('proposed', 'ready', 'running', 'paused', 'done', 'failed', 'dead', 'refused', 'expired', 'cancelled')),
  attempt     INTEGER NOT NULL DEFAULT 0,
  max_attempt INTEGER NOT NULL,
  due_us      INTEGER NOT NULL,
  boot        TEXT,                         -- who runs it
  error       TEXT,
  result      TEXT CHECK (result IS NULL OR json_valid(result)),
  created_us  INTEGER NOT NULL,
  changed_us  INTEGER NOT NULL,
  seq         INTEGER NOT NULL,
  priority    INTEGER NOT NULL DEFAULT 0,   -- of those that are due, the highest is begun first
  wanted      TEXT CHECK (wanted IN ('pause', 'stop')), -- what a running one is to do as soon as it can
  CHECK (wanted IS NULL OR state = 'running')
) STRICT;
INSERT INTO new_intent
SELECT id, action, target, args, state, attempt, max_attempt, due_us, boot, error, result, created_us,
       changed_us, seq, 0, NULL FROM intent;
DROP TABLE intent;
ALTER TABLE new_intent RENAME TO intent;
CREATE INDEX intent_due ON intent(due_us) WHERE state = 'ready';
CREATE UNIQUE INDEX intent_one_waiting ON intent(action, target) WHERE state IN ('proposed', 'ready', 'paused');
CREATE UNIQUE INDEX intent_one_running ON intent(action, target) WHERE state = 'running';
CREATE INDEX intent_action ON intent(action, seq);
CREATE INDEX intent_open ON intent(state) WHERE state IN ('proposed', 'ready', 'running', 'paused');
CREATE INDEX intent_seq ON intent(seq);
-- No intent has its effects twice, and none that was cancelled has any.
CREATE TRIGGER intent_ends_once BEFORE UPDATE OF state ON intent
  WHEN OLD.state IN ('done', 'failed', 'dead', 'refused', 'expired', 'cancelled')
  BEGIN SELECT RAISE(ABORT, 'the intent has ended already'); END;
CREATE TRIGGER intent_ends_by_running BEFORE UPDATE OF state ON intent
  WHEN NEW.state IN ('done', 'failed', 'dead') AND OLD.state <> 'running'
  BEGIN SELECT RAISE(ABORT, 'the intent is not running'); END;
