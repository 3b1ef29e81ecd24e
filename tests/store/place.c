#include "store/place.h"

#include "rig/test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct segment_found rig_find(const char *path, uint64_t seq)
{
    struct segment_reader reader = {.fd = -1};
    struct segment_found found;
    struct stat st;
    cleanup(fd_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && fstat(fd, &st) == 0);
    segment_reader_set(&reader, fd, (uint64_t)st.st_size);
    uint64_t offset = SEGLOG_HEAD_SIZE, expected = strtoull(strrchr(path, '/') + 1, NULL, 10);
    do {
        CHECK_INT(segment_find(&reader, offset, expected, UINT64_MAX, &found), 1);
        offset = found.look_on;
        expected = found.record.seq + 1;
    } while (found.record.seq < seq);
    segment_reader_done(&reader);
    CHECK_INT(found.record.seq, seq);
    return found;
}
