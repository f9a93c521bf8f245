#ifndef SLUICE_SQLITEPACK_H
#define SLUICE_SQLITEPACK_H

// What stands in front of each value of a packed row. Numbers follow in the machine's own byte order, 8 bytes; texts and blobs with
// their length before them, 4 bytes.
enum { PACK_NULL = 0, PACK_INTEGER = 1, PACK_FLOAT = 2, PACK_TEXT = 3, PACK_BLOB = 4 };

// PACK_SAME stands alone, in rows to insert: the value that the row before has in this column.
enum { PACK_SAME = 5 };

// sluice_pack_install makes the functions known to every connection that is opened from now on, and leaves SQLite's count of the memory
// that it uses away, which nobody asks for, if no connection has been opened yet. Returns one of SQLite's result codes.
int sluice_pack_install(void);

#endif
