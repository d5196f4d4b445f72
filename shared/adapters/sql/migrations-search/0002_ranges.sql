-- What is filtered by ranges, and the version of what is indexed: an index of an earlier version is rebuilt.

ALTER TABLE doc ADD COLUMN other_prices TEXT; -- a JSON array; NULL without any
ALTER TABLE facet ADD COLUMN number REAL; -- the value, if it is a number
ALTER TABLE generation ADD COLUMN format INTEGER NOT NULL DEFAULT 0; -- souk_core::search::FORMAT
