#include "pack.h"

#include <string.h>

#include "api.h"

// reading is how far rows to insert have been read.
typedef struct {
  const unsigned char *at, *end;
} reading;

static int take(reading *r, void *into, size_t n) {
  if ((size_t)(r->end - r->at) < n) return 0;
  memcpy(into, r->at, n);
  r->at += n;
  return 1;
}

enum { MALFORMED = -1 };

// bind_bytes binds without a copy: the packed rows outlive the statement.
static int bind_bytes(sqlite3_stmt *s, int column, reading *r, int text) {
  unsigned int n;
  if (!take(r, &n, 4) || n > (size_t)(r->end - r->at) || n > 0x7fffffff) return MALFORMED;
  const char *bytes = (const char *)r->at;
  r->at += n;
  if (text) return sqlite3_bind_text(s, column, bytes, (int)n, 0);
  return sqlite3_bind_blob(s, column, bytes, (int)n, 0);
}

// bind_value returns one of SQLite's result codes, or MALFORMED.
static int bind_value(sqlite3_stmt *s, int column, reading *r) {
  unsigned char kind;
  long long i;
  double f;
  if (!take(r, &kind, 1)) return MALFORMED;
  switch (kind) {
  case PACK_SAME: // it is bound still
    return OK;
  case PACK_NULL:
    return sqlite3_bind_null(s, column);
  case PACK_INTEGER:
    return take(r, &i, 8) ? sqlite3_bind_int64(s, column, i) : MALFORMED;
  case PACK_FLOAT:
    return take(r, &f, 8) ? sqlite3_bind_double(s, column, f) : MALFORMED;
  case PACK_TEXT:
  case PACK_BLOB:
    return bind_bytes(s, column, r, kind == PACK_TEXT);
  }
  return MALFORMED;
}

// insert_row runs the statement for the next row and counts what it changes. Returns OK, another of SQLite's result codes, or MALFORMED.
static int insert_row(sqlite3 *db, sqlite3_stmt *s, int columns, reading *r, long long *changed) {
  for (int i = 1; i <= columns; i++) {
    int code = bind_value(s, i, r);
    if (code != OK) return code;
  }
  int code = sqlite3_step(s);
  if (code != DONE) return code == ROW ? MALFORMED : code;
  *changed += sqlite3_changes64(db);
  return sqlite3_reset(s);
}

// fail makes the outer statement fail as the inner one did.
static void fail(sqlite3_context *c, sqlite3 *db) {
  int code = sqlite3_extended_errcode(db);
  sqlite3_result_error(c, sqlite3_errmsg(db), -1);
  sqlite3_result_error_code(c, code == OK || code == ROW || code == DONE ? ERROR : code);
}

void sluice_insert(sqlite3_context *c, int n, sqlite3_value **values) {
  (void)n;
  sqlite3 *db = sqlite3_context_db_handle(c);
  const char *text = (const char *)sqlite3_value_text(values[0]);
  sqlite3_stmt *s = 0;
  if (!text || sqlite3_prepare_v2(db, text, sqlite3_value_bytes(values[0]), &s, 0) != OK) {
    fail(c, db);
    return;
  }
  int columns = s ? sqlite3_bind_parameter_count(s) : 0;
  reading r = {sqlite3_value_blob(values[1]), 0};
  r.end = r.at ? r.at + sqlite3_value_bytes(values[1]) : 0;
  long long changed = 0;
  int code = columns ? OK : MALFORMED;
  while (code == OK && r.at != r.end) code = insert_row(db, s, columns, &r, &changed);
  if (code == MALFORMED)
    sqlite3_result_error(c, "sluice_insert: not an INSERT with parameters, or malformed rows", -1);
  else if (code != OK)
    fail(c, db);
  else
    sqlite3_result_int64(c, changed);
  sqlite3_finalize(s);
}
