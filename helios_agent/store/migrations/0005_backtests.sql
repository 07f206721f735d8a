CREATE TABLE backtest (                     -- one row a backtest, from its first progress on
  job         TEXT PRIMARY KEY,             -- the intent; it may have left the database
  game        TEXT NOT NULL,
  era         TEXT NOT NULL,
  first       TEXT NOT NULL,                -- days of the first and last draw
  last        TEXT NOT NULL,
  forecasters TEXT NOT NULL CHECK (json_valid(forecasters)),
  done        INTEGER NOT NULL,             -- draws, counted once for the experts and once for each network
  total       INTEGER NOT NULL,
  gains       TEXT NOT NULL CHECK (json_valid(gains)),  -- nats over uniform so far, by forecaster
  eta_seconds REAL,
  summary     TEXT CHECK (summary IS NULL OR json_valid(summary)),
  report      TEXT,                         -- the file's name
  sha256      TEXT CHECK (sha256 IS NULL OR length(sha256) = 64),
  changed_us  INTEGER NOT NULL,
  seq         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX backtest_game ON backtest(game, seq);
