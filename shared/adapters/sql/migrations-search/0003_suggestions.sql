-- Suggestions that lead to something, and that are found by each of their words. Until the index is rebuilt, it has none of
-- what was indexed before.

DROP TABLE completion;
UPDATE doc SET completions = '[]'; -- a JSON array of [kind, key, thing]
ALTER TABLE doc ADD COLUMN title TEXT NOT NULL DEFAULT '';

-- What may be suggested, beside titles.
CREATE TABLE completion (
    generation INTEGER NOT NULL,
    kind TEXT NOT NULL, -- 'group', 'owner' or 'query'
    key TEXT NOT NULL, -- the text in plain words
    thing TEXT NOT NULL, -- the id of the group or owner; empty for a query
    text TEXT NOT NULL,
    products INTEGER, -- how many have it; NULL for what only was searched for
    words TEXT, -- an expression that finds what has all words of what only was searched for
    PRIMARY KEY (generation, kind, key, thing)
) WITHOUT ROWID;
CREATE INDEX completion_unused ON completion (generation, kind, key, thing) WHERE products <= 0;

-- The ends of the keys, from each word on.
CREATE TABLE ending (
    generation INTEGER NOT NULL,
    kind TEXT NOT NULL,
    ending TEXT NOT NULL,
    key TEXT NOT NULL,
    thing TEXT NOT NULL,
    uses INTEGER NOT NULL, -- how often the text was searched for
    PRIMARY KEY (generation, kind, ending, key, thing)
) WITHOUT ROWID;
CREATE INDEX ending_by_1 ON ending (generation, kind, substr(ending, 1, 1), uses);
CREATE INDEX ending_by_2 ON ending (generation, kind, substr(ending, 1, 2), uses);
CREATE INDEX ending_by_3 ON ending (generation, kind, substr(ending, 1, 3), uses);

-- For suggestions from the first letter on.
CREATE INDEX word_by_1 ON word (generation, substr(plain, 1, 1), count);
