-- The store, version 1.

CREATE TABLE model (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE, -- sha256; of an untrained one untrained:sha256:seed[:shape]:blocks
    sha256 TEXT NOT NULL,
    file TEXT,
    name TEXT,
    quant TEXT,
    family TEXT,
    blocks INTEGER,
    width INTEGER
) STRICT;

CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE, -- "id" of its line
    model INTEGER NOT NULL REFERENCES model,
    command TEXT NOT NULL,
    at INTEGER NOT NULL, -- when it was put, in microseconds since 1970
    line TEXT NOT NULL
) STRICT;

CREATE TABLE feature (
    id INTEGER PRIMARY KEY,
    model INTEGER NOT NULL REFERENCES model,
    text TEXT NOT NULL, -- its canonical form
    place TEXT NOT NULL,
    block INTEGER NOT NULL,
    component INTEGER, -- of one component
    UNIQUE (model, text)
) STRICT;

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
    round_trip INTEGER NOT NULL,
    norm_ratio REAL,
    text TEXT,
    activation REAL,
    z REAL,
    gap REAL,
    line TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX result_key ON result (run, type, ifnull(feature, 0), key);
CREATE INDEX result_feature ON result (feature);
