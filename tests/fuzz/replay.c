/* Replays fuzz inputs without libFuzzer: every file given, and every file in a folder given. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int replay(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return -1;
    }
    (void)fseek(f, 0, SEEK_END);
    long len = ftell(f);
    rewind(f);
    uint8_t *data = malloc(len > 0 ? (size_t)len : 1);
    int r = data && fread(data, 1, (size_t)len, f) == (size_t)len ? 0 : -1;
    (void)fclose(f);
    if (r == 0)
        (void)LLVMFuzzerTestOneInput(data, (size_t)len);
    free(data);
    return r;
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (!dir) {
            if (replay(argv[i]) < 0)
                return 1;
            count++;
            continue;
        }
        for (struct dirent *entry; (entry = readdir(dir));) {
            char path[4096];
            struct stat st;
            (void)snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
                continue;
            if (replay(path) < 0)
                return 1;
            count++;
        }
        (void)closedir(dir);
    }
    printf("%u inputs replayed\n", count);
    return count ? 0 : 1; /* an empty corpus tests nothing */
}
