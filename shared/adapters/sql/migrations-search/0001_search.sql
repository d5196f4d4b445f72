-- The search index. A database of its own: it can always be made again from the documents, and D1 exports no database that
-- holds an FTS5 table. What each table is for is told in shared/adapters/sql/src/search.

CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    live INTEGER NOT NULL, -- the generation that answers
    building INTEGER,
    last INTEGER NOT NULL -- the last one that was begun
);
INSERT INTO state (one, live, building, last) VALUES (1, 0, NULL, 0);

-- The generations of which there is anything.
CREATE TABLE generation (number INTEGER PRIMARY KEY, products INTEGER NOT NULL);
INSERT INTO generation (number, products) VALUES (0, 0);

CREATE TABLE doc (
    id INTEGER PRIMARY KEY, -- generation << 44 | rank in seconds << 12 | slot: descending is the order of a page
    generation INTEGER NOT NULL,
    product TEXT NOT NULL,
    version INTEGER NOT NULL,
    price INTEGER NOT NULL,
    published_at INTEGER NOT NULL,
    votes INTEGER NOT NULL,
    x INTEGER, -- a place, as a vector of length 40,000,000
    y INTEGER,
    z INTEGER,
    completions TEXT NOT NULL, -- the keys of what it completes, a JSON array
    body TEXT NOT NULL,
    UNIQUE (generation, product)
);

CREATE VIRTUAL TABLE fts USING fts5 (tokens, content = '', contentless_delete = 1, tokenize = 'ascii');

CREATE TABLE facet (
    doc INTEGER NOT NULL,
    field TEXT NOT NULL,
    value TEXT NOT NULL,
    label TEXT NOT NULL,
    PRIMARY KEY (doc, field, value)
) WITHOUT ROWID;

-- What was removed, for as long as an older change may still come.
CREATE TABLE gone (
    product TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    at INTEGER NOT NULL -- milliseconds since 1970
) WITHOUT ROWID;
CREATE INDEX gone_at ON gone (at);

-- What a transaction takes out. Empty between transactions.
CREATE TABLE leaving (id INTEGER PRIMARY KEY, generation INTEGER NOT NULL);

-- Words and their stems, which are words here too.
CREATE TABLE word (
    generation INTEGER NOT NULL,
    plain TEXT NOT NULL,
    stem TEXT NOT NULL,
    count INTEGER NOT NULL, -- how often it was indexed, about
    PRIMARY KEY (generation, plain)
) WITHOUT ROWID;
CREATE INDEX word_by_2 ON word (generation, substr(plain, 1, 2), count);
CREATE INDEX word_by_3 ON word (generation, substr(plain, 1, 3), count);

-- What is left of a word when one or two letters are missing.
CREATE TABLE variant (
    generation INTEGER NOT NULL,
    variant TEXT NOT NULL,
    plain TEXT NOT NULL,
    PRIMARY KEY (generation, variant, plain)
) WITHOUT ROWID;

-- What may be suggested: `key` is the text in plain words.
CREATE TABLE completion (
    generation INTEGER NOT NULL,
    key TEXT NOT NULL,
    text TEXT NOT NULL,
    products INTEGER, -- how many have it; NULL for what only was searched for
    uses INTEGER NOT NULL,
    PRIMARY KEY (generation, key)
) WITHOUT ROWID;
CREATE INDEX completion_by_1 ON completion (generation, substr(key, 1, 1), uses);
CREATE INDEX completion_by_2 ON completion (generation, substr(key, 1, 2), uses);
CREATE INDEX completion_by_3 ON completion (generation, substr(key, 1, 3), uses);
CREATE INDEX completion_unused ON completion (generation, key) WHERE products <= 0;

-- Never holds a row: see shared/adapters/sql/migrations.
CREATE TABLE guard (step INTEGER NOT NULL, CONSTRAINT step_0 CHECK (step <> 0));
