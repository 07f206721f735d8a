-- A model may have come from elsewhere, and then no job trained it; a deleted one keeps its facts and its place
-- in the order in which models joined. SQLite changes constraints only by copying a table.
CREATE TABLE new_model (
  name       TEXT NOT NULL,
  version    TEXT NOT NULL,
  game       TEXT NOT NULL,
  era        TEXT NOT NULL,
  role       TEXT NOT NULL CHECK (role IN ('challenger', 'champion', 'retired', 'deleted')),
  ordinal    INTEGER NOT NULL,              -- the how-many-th model to join this era's mixture
  prior      REAL NOT NULL,                 -- its share of the mixture's prior
  last_draw  TEXT NOT NULL,                 -- the last draw it was trained on
  draws      INTEGER NOT NULL,
  metrics    TEXT NOT NULL CHECK (json_valid(metrics)),
  job        TEXT,                          -- that trained it; NULL if it was imported
  trained_us INTEGER NOT NULL,              -- when it was trained or imported here
  seq        INTEGER NOT NULL,
  PRIMARY KEY (name, version)
) STRICT, WITHOUT ROWID;
INSERT INTO new_model
SELECT name, version, game, era, role, ordinal, prior, last_draw, draws, metrics, job, trained_us, seq
FROM model;
DROP TABLE model;
ALTER TABLE new_model RENAME TO model;
CREATE UNIQUE INDEX model_role ON model(game, role) WHERE role IN ('challenger', 'champion');

CREATE TABLE promotion (                    -- who was champion before whom: the way back
  seq         INTEGER PRIMARY KEY,
  game        TEXT NOT NULL,
  version     TEXT NOT NULL,
  in_place_of TEXT                          -- the version that was champion before; NULL if none was
) STRICT;
CREATE INDEX promotion_version ON promotion(game, version, seq);
INSERT INTO promotion
SELECT seq, payload->>'game', payload->>'version', payload->>'in_place_of' FROM event WHERE kind = 'model.promoted';
