/* What went wrong in SQLite, as a number of the system's. */
#include "store/store_db.h"

#include <errno.h>

/* What the system said to SQLite about the file and about its WAL. SQLite itself takes only ENOSPC for a full disk. */
static bool disk_is_full(sqlite3 *sqlite)
{
    static const int which[] = {SQLITE_FCNTL_FILE_POINTER, SQLITE_FCNTL_JOURNAL_POINTER};
    for (size_t i = 0; i < array_size(which); i++) {
        sqlite3_file *file = NULL;
        int e = 0;
        (void)sqlite3_file_control(sqlite, "main", which[i], &file);
        if (file && file->pMethods)
            (void)file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &e);
        if (e == ENOSPC || e == EDQUOT || e == EFBIG)
            return true;
    }
    return false;
}

int store_fault(sqlite3 *sqlite, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE: return 0;
    case SQLITE_FULL: return -ENOSPC;
    case SQLITE_IOERR:
        if (rc == SQLITE_IOERR_NOMEM)
            return -ENOMEM;
        return rc == SQLITE_IOERR_WRITE && disk_is_full(sqlite) ? -ENOSPC : -EIO;
    case SQLITE_CANTOPEN: return -EIO;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return -EUCLEAN;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return -EBUSY;
    case SQLITE_CONSTRAINT: return -EEXIST;
    case SQLITE_NOMEM: return -ENOMEM;
    case SQLITE_READONLY: return -EROFS;
    case SQLITE_PERM:
    case SQLITE_AUTH: return -EACCES;
    case SQLITE_TOOBIG: return -EMSGSIZE;
    case SQLITE_INTERRUPT: return -EINTR;
    default: return -EINVAL; /* SQLITE_ERROR, _MISUSE, _MISMATCH, _RANGE: the statement is wrong */
    }
}
