#ifndef SLUICE_SQLITEPACK_H
#define SLUICE_SQLITEPACK_H

// What stands in front of each value of a packed row. Numbers follow in the machine's own byte order, 8 bytes; texts and blobs with
// their length before them, 4 bytes.
enum { PACK_NULL = 0, PACK_INTEGER = 1, PACK_FLOAT = 2, PACK_TEXT = 3, PACK_BLOB = 4 };

// sluice_pack_install makes the function known to every connection that is opened from now on. Returns one of SQLite's result codes.
int sluice_pack_install(void);

#endif
