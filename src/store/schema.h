/* schema.h — the tables of a store. */
#ifndef PH_SCHEMA_H
#define PH_SCHEMA_H

enum {
    PH__STORE_APPLICATION = 0x70686f73, /* "phos": what SQLite calls an application_id */
    PH__STORE_VERSION = 2               /* user_version: of schema.sql */
};

/* The text of schema.sql. */
extern const char ph__schema[] __attribute__((visibility("hidden")));

#endif
