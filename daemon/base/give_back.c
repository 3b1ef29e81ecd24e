#include "base/give_back.h"

#include "base/base.h"

#include <link.h>
#include <malloc.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

/* Segments that can be written stay: relocations are in them, in no file. */
static int drop_segments(struct dl_phdr_info *object, size_t size, void *arg)
{
    (void)size;
    uintptr_t page = *(const uintptr_t *)arg;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        uintptr_t begin = object->dlpi_addr + segment->p_vaddr, end = begin + segment->p_memsz;
        begin &= ~(page - 1);
        if (segment->p_type != PT_LOAD || segment->p_flags & PF_W || begin == getauxval(AT_SYSINFO_EHDR))
            continue;
        (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
    }
    return 0;
}

void memory_give_back(void)
{
    long page = sysconf(_SC_PAGESIZE);
    uintptr_t size = page > 0 ? (uintptr_t)page : 4096;
    (void)malloc_trim(0);
    (void)dl_iterate_phdr(drop_segments, &size);
}
