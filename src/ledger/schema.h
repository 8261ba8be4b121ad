/* The database's tables, version by version. Thread rule: constant. */
#pragma once

#define LEDGER_APPLICATION_ID 0x494d504c /* "IMPL", in the file's header */
#define LEDGER_VERSION        3 /* PRAGMA user_version */

/* ledger_schema[v] brings a database of version v to v + 1. */
extern const char *const ledger_schema[LEDGER_VERSION];
