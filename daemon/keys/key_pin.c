#include "keys/key_pin.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static char *path_of(const char *source)
{
    static const char scheme[] = "credential:";
    if (strncmp(source, scheme, strlen(scheme)) != 0)
        return str_copy(source);
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    return folder ? str_printf("%s/%s", folder, source + strlen(scheme)) : NULL;
}

int key_pin_read(char ret[KEY_PIN_MAX + 1], const char *source, char **why)
{
    ret[0] = '\0';
    if (!source)
        return 0;
    cleanup_free char *path = path_of(source);
    if (!path) {
        *why = str_printf(
            "%s: expected systemd to give it (LoadCredential=): there is no $CREDENTIALS_DIRECTORY", source);
        return -EINVAL;
    }
    cleanup(fd_close_p) int fd =
        open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO would be waited for */
    ssize_t n = fd < 0 ? -1 : read(fd, ret, KEY_PIN_MAX + 1);
    if (n < 0) {
        *why = str_printf("%s: expected a file with the PIN in its first line: %s", path, strerror(errno));
        return -EINVAL;
    }
    size_t len = 0;
    while (len < (size_t)n && ret[len] != '\n' && ret[len] != '\r' && ret[len])
        len++;
    explicit_bzero(ret + len, KEY_PIN_MAX + 1 - len);
    if (len > KEY_PIN_MAX) { /* a part of it would be tried, and counts in the token as a wrong one */
        explicit_bzero(ret, KEY_PIN_MAX + 1);
        *why = str_printf("%s: expected a PIN of at most %d bytes in the first line", path, KEY_PIN_MAX);
        return -EINVAL;
    }
    if (len)
        return 0;
    *why = str_printf("%s: expected a PIN in the first line, found nothing", path);
    return -EINVAL;
}
