#include "pack.h"

#include <pthread.h>
#include <string.h>

#include "api.h"

// rows are the rows of one group so far. SQLite hands them out zeroed.
typedef struct {
  unsigned char *data;
  sqlite3_uint64 length, room;
  int lost; // there was no memory
} rows;

// grow makes room for more bytes; 0 if there is no memory.
static int grow(rows *r, sqlite3_uint64 more) {
  if (r->length + more <= r->room) return 1;
  sqlite3_uint64 room = r->room ? 2 * r->room : 4096;
  while (room < r->length + more) room *= 2;
  unsigned char *data = sqlite3_realloc64(r->data, room);
  if (!data) {
    r->lost = 1;
    return 0;
  }
  r->data = data;
  r->room = room;
  return 1;
}

static void put(rows *r, const void *from, sqlite3_uint64 n) {
  if (n) memcpy(r->data + r->length, from, n);
  r->length += n;
}

static void put_number(rows *r, unsigned char kind, const void *eight) {
  if (!grow(r, 9)) return;
  r->data[r->length++] = kind;
  put(r, eight, 8);
}

static void put_bytes(rows *r, unsigned char kind, const void *from, unsigned int n) {
  if (!grow(r, 5 + (sqlite3_uint64)n)) return;
  r->data[r->length++] = kind;
  put(r, &n, 4);
  put(r, from, n);
}

static void put_value(rows *r, sqlite3_value *v) {
  switch (sqlite3_value_type(v)) {
  case INTEGER: {
    long long i = sqlite3_value_int64(v);
    put_number(r, PACK_INTEGER, &i);
    return;
  }
  case FLOAT: {
    double f = sqlite3_value_double(v);
    put_number(r, PACK_FLOAT, &f);
    return;
  }
  case TEXT: { // the text before its length, which may change with it
    const void *text = sqlite3_value_text(v);
    put_bytes(r, PACK_TEXT, text, text ? sqlite3_value_bytes(v) : 0);
    return;
  }
  case BLOB: {
    const void *blob = sqlite3_value_blob(v);
    put_bytes(r, PACK_BLOB, blob, blob ? sqlite3_value_bytes(v) : 0);
    return;
  }
  }
  if (grow(r, 1)) r->data[r->length++] = PACK_NULL;
}

static void step(sqlite3_context *c, int n, sqlite3_value **values) {
  rows *r = sqlite3_aggregate_context(c, sizeof(rows));
  if (!r) {
    sqlite3_result_error_nomem(c);
    return;
  }
  for (int i = 0; i < n && !r->lost; i++) put_value(r, values[i]);
}

// finish is called once for every group, after an error too.
static void finish(sqlite3_context *c) {
  rows *r = sqlite3_aggregate_context(c, 0);
  if (!r) return; // no row: NULL
  if (r->lost) {
    sqlite3_free(r->data);
    sqlite3_result_error_nomem(c);
    return;
  }
  sqlite3_result_blob64(c, r->data, r->length, sqlite3_free);
}

static int connected(sqlite3 *db, char **message, const void *api) {
  (void)message;
  (void)api;
  int code = sqlite3_create_function_v2(db, "sluice_pack", -1, UTF8 | DETERMINISTIC | INNOCUOUS, 0, 0, step, finish, 0);
  if (code != OK) return code;
  return sqlite3_create_function_v2(db, "sluice_insert", 2, UTF8 | DIRECTONLY, 0, sluice_insert, 0, 0, 0);
}

// configure is refused, and then without effect, if the process has opened a database before.
static void configure(void) { sqlite3_config(CONFIG_MEMSTATUS, 0); }

static pthread_once_t configured = PTHREAD_ONCE_INIT;

int sluice_pack_install(void) {
  pthread_once(&configured, configure);
  return sqlite3_auto_extension((void (*)(void))connected);
}
