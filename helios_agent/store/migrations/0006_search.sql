CREATE TABLE search_trial (                     -- one row a configuration that a search has judged
  job         TEXT NOT NULL REFERENCES intent(id),
  number      INTEGER NOT NULL,             -- from 0, the configuration that stood
  question    TEXT NOT NULL,                -- digest of all that its outcome depends on besides itself
  state       TEXT NOT NULL CHECK (state IN ('complete', 'pruned', 'failed')),
  parameters  TEXT NOT NULL CHECK (json_valid(parameters)),
  gains       TEXT NOT NULL CHECK (json_valid(gains)),   -- of each block it was judged on, nats a draw
  gain        REAL,                         -- their mean; NULL for one that was pruned or failed
  error       TEXT,
  cpu_seconds REAL NOT NULL,
  seq         INTEGER NOT NULL,
  PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;
