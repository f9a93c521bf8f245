#ifndef SLUICE_SQLITEPACK_API_H
#define SLUICE_SQLITEPACK_API_H

// What SQLite promises to keep (https://sqlite.org/c3ref/intro.html). Its header lies in go-sqlite3's folder, where cgo does not look.
typedef struct sqlite3 sqlite3;
typedef struct sqlite3_context sqlite3_context;
typedef struct sqlite3_stmt sqlite3_stmt;
typedef struct sqlite3_value sqlite3_value;
typedef unsigned long long sqlite3_uint64;

enum { OK = 0, ERROR = 1, ROW = 100, DONE = 101 };
enum { INTEGER = 1, FLOAT = 2, TEXT = 3, BLOB = 4 };
enum { UTF8 = 1, DETERMINISTIC = 0x800, DIRECTONLY = 0x80000, INNOCUOUS = 0x200000 };
enum { CONFIG_MEMSTATUS = 9 };

extern int sqlite3_config(int, ...);
extern int sqlite3_auto_extension(void (*)(void));
extern int sqlite3_create_function_v2(sqlite3 *, const char *, int, int, void *, void (*)(sqlite3_context *, int, sqlite3_value **),
                                      void (*)(sqlite3_context *, int, sqlite3_value **), void (*)(sqlite3_context *), void (*)(void *));
extern void *sqlite3_aggregate_context(sqlite3_context *, int);
extern sqlite3 *sqlite3_context_db_handle(sqlite3_context *);
extern int sqlite3_value_type(sqlite3_value *);
extern long long sqlite3_value_int64(sqlite3_value *);
extern double sqlite3_value_double(sqlite3_value *);
extern const void *sqlite3_value_blob(sqlite3_value *);
extern const unsigned char *sqlite3_value_text(sqlite3_value *);
extern int sqlite3_value_bytes(sqlite3_value *);
extern void *sqlite3_realloc64(void *, sqlite3_uint64);
extern void sqlite3_free(void *);
extern void sqlite3_result_blob64(sqlite3_context *, const void *, sqlite3_uint64, void (*)(void *));
extern void sqlite3_result_int64(sqlite3_context *, long long);
extern void sqlite3_result_error(sqlite3_context *, const char *, int);
extern void sqlite3_result_error_code(sqlite3_context *, int);
extern void sqlite3_result_error_nomem(sqlite3_context *);
extern const char *sqlite3_errmsg(sqlite3 *);
extern int sqlite3_extended_errcode(sqlite3 *);
extern long long sqlite3_changes64(sqlite3 *);
extern int sqlite3_prepare_v2(sqlite3 *, const char *, int, sqlite3_stmt **, const char **);
extern int sqlite3_bind_parameter_count(sqlite3_stmt *);
extern int sqlite3_bind_null(sqlite3_stmt *, int);
extern int sqlite3_bind_int64(sqlite3_stmt *, int, long long);
extern int sqlite3_bind_double(sqlite3_stmt *, int, double);
extern int sqlite3_bind_text(sqlite3_stmt *, int, const char *, int, void (*)(void *));
extern int sqlite3_bind_blob(sqlite3_stmt *, int, const void *, int, void (*)(void *));
extern int sqlite3_step(sqlite3_stmt *);
extern int sqlite3_reset(sqlite3_stmt *);
extern int sqlite3_finalize(sqlite3_stmt *);

// sluice_insert is the function of SQL with this name: see Insert in insert.go.
void sluice_insert(sqlite3_context *, int, sqlite3_value **);

#endif
