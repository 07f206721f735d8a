-- What a choice was made by is known as long as the choice, and not only as long as the decision's event.

ALTER TABLE choice ADD COLUMN era TEXT;         -- the rules that were in force
ALTER TABLE choice ADD COLUMN champion TEXT;    -- the forecaster that was champion; NULL: none was
ALTER TABLE choice ADD COLUMN peak_nats REAL;   -- the highest evidence against fairness so far
