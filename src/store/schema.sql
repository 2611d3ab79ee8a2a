-- The store, version 2. docs/STORE.md says what is promised; everything but the lines themselves is
-- made of them again when a store of an earlier version is opened.

CREATE TABLE model (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE, -- sha256; of an untrained one untrained:sha256:seed[:shape]:blocks
    sha256 TEXT NOT NULL,
    file TEXT, -- as its latest run named it
    name TEXT,
    quant TEXT,
    family TEXT,
    blocks INTEGER,
    width INTEGER,
    at INTEGER NOT NULL -- when that run was put
) STRICT;

CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE, -- "id" of its line
    model INTEGER NOT NULL REFERENCES model,
    command TEXT NOT NULL,
    plain INTEGER NOT NULL, -- of what context: 2 without prefix and suffix, plus 1 with --bos auto
    at INTEGER NOT NULL,    -- when it was put, in microseconds since 1970
    line TEXT NOT NULL
) STRICT;

CREATE INDEX run_model ON run (model);

CREATE TABLE feature (
    id INTEGER PRIMARY KEY,
    model INTEGER NOT NULL REFERENCES model,
    text TEXT NOT NULL, -- its canonical form
    place TEXT NOT NULL,
    block INTEGER NOT NULL,
    component INTEGER,      -- of one component
    whole INTEGER NOT NULL, -- at every token
    results INTEGER NOT NULL DEFAULT 0, -- dreams
    best INTEGER REFERENCES result,     -- of them: the highest, in the plainest context
    scan INTEGER REFERENCES result,     -- the longest in the plainest context
    UNIQUE (model, text)
) STRICT;

CREATE INDEX feature_tap ON feature (model, place, block, component);

CREATE TABLE result (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run,
    type TEXT NOT NULL,
    feature INTEGER REFERENCES feature,
    key TEXT NOT NULL, -- what tells it apart from others of this run, type and feature
    at INTEGER NOT NULL,
    method TEXT,
    sign INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    class INTEGER NOT NULL, -- 4: breaks no constraint; 2: tokenises back; 1: no outlier norm
    text TEXT,
    activation REAL,
    z REAL,
    gap REAL,  -- to the best single token
    mean REAL, -- of a scan
    sd REAL,
    n INTEGER -- tokens in its lists
) STRICT;

CREATE UNIQUE INDEX result_key ON result (run, type, ifnull(feature, 0), key);
CREATE INDEX result_feature ON result (feature, type);
CREATE INDEX result_best ON result (class DESC, sign DESC, sign * activation DESC) WHERE type = 'dream';
CREATE INDEX result_text ON result (text) WHERE type = 'dream';

CREATE TABLE body (
    result INTEGER PRIMARY KEY REFERENCES result,
    line TEXT NOT NULL
) STRICT;

-- The tokens that lists of scans name.
CREATE TABLE token (
    model INTEGER NOT NULL REFERENCES model,
    id INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (model, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX token_text ON token (text);

-- The lists of each feature's scan.
CREATE TABLE listed (
    model INTEGER NOT NULL,
    token INTEGER NOT NULL,
    feature INTEGER NOT NULL REFERENCES feature,
    low INTEGER NOT NULL, -- of the lowest
    rank INTEGER NOT NULL,
    activation REAL,
    PRIMARY KEY (model, token, feature, low, rank)
) STRICT, WITHOUT ROWID;

CREATE INDEX listed_feature ON listed (feature, low, rank);
