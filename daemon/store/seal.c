#include "store/seal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

void seal_vault_init(struct seal_vault *vault, const struct seal_source *source)
{
    vault->file = str_copy(source->file);
    vault->may_make = source->may_make;
    vault->load = source->load;
}

void seal_vault_done(struct seal_vault *vault)
{
    explicit_bzero(vault->secret, sizeof vault->secret);
    free(vault->file);
    vault->file = NULL;
    atomic_store_explicit(&vault->ready, false, memory_order_release);
}

static int random_bytes(uint8_t *bytes, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = getrandom(bytes + done, len - done, 0);
        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* ---- the device key ---------------------------------------------------------------------------------------------- */

static int sync_folder_of(const char *file)
{
    cleanup_free char *folder = str_copy(file);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = '\0';
    cleanup(fd_close_p) int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* Whole and on the medium under another name, then linked to its own: a power cut leaves a key or none, and one that somebody made
 * meanwhile stays. */
static int make(const char *file)
{
    uint8_t bytes[SEAL_KEY];
    int r = random_bytes(bytes, sizeof bytes);
    if (r < 0)
        return r;
    cleanup_free char *tmp = str_printf("%s.new", file);
    (void)unlink(tmp); /* of an attempt that was interrupted */
    cleanup(fd_close_p) int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        r = -errno;
    else if (write(fd, bytes, sizeof bytes) != sizeof bytes)
        r = -EIO;
    else if (fsync(fd) < 0 || (link(tmp, file) < 0 && errno != EEXIST))
        r = -errno;
    explicit_bzero(bytes, sizeof bytes);
    (void)unlink(tmp);
    return r < 0 ? r : sync_folder_of(file);
}

static int read_secret(struct seal_vault *vault, char **why)
{
    cleanup(fd_close_p) int fd = open(vault->file, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_size < SEAL_SECRET_MIN || st.st_size > SEAL_SECRET_MAX) {
        *why = str_printf("%s: expected a file of %d to %d bytes", vault->file, SEAL_SECRET_MIN,
                          SEAL_SECRET_MAX);
        return -EINVAL;
    }
    if (st.st_mode & 027) { /* a group may read: so look the ACLs of systemd's credentials */
        *why = str_printf("%s: expected a file that nobody but its owner may read or write (chmod 600)",
                          vault->file);
        return -EPERM;
    }
    ssize_t n = pread(fd, vault->secret, (size_t)st.st_size, 0);
    if (n != (ssize_t)st.st_size)
        return n < 0 ? -errno : -EIO;
    vault->secret_len = (size_t)n;
    return 0;
}

int seal_vault_load(struct seal_vault *vault, bool never_make, char **why)
{
    static const char purpose[] = "gatehouse streams: which key";
    if (seal_vault_is_ready(vault))
        return 0;
    if (!vault->file) {
        *why = str_copy("there is no key here");
        return -ENOKEY;
    }
    *why = NULL;
    int r = read_secret(vault, why);
    if (r == -ENOENT && vault->may_make && !never_make) {
        r = make(vault->file);
        if (r == 0)
            r = read_secret(vault, why);
    }
    if (r == 0 && !(vault->functions = vault->load(why)))
        r = -ENOTSUP;
    if (r == 0 && !vault->functions->derive(vault->secret, vault->secret_len, NULL, 0, purpose,
                                            sizeof purpose - 1, vault->id, sizeof vault->id))
        r = -ENOMEM;
    if (r < 0 && !*why)
        *why = r == -ENOENT
                   ? str_printf("the key %s is missing: what was sealed with it can be read with it only",
                                vault->file)
                   : str_printf("%s: %s", vault->file, strerror(-r));
    if (r < 0)
        return r == -ENOENT ? -ENOKEY : r;
    atomic_store_explicit(&vault->ready, true, memory_order_release);
    return 0;
}

/* ---- what is sealed ---------------------------------------------------------------------------------------------- */

void seal_init(struct seal *seal, const struct seal_vault *vault, const char *log, uint64_t segment,
               const char *purpose)
{
    seal_done(seal);
    *seal = (struct seal){.vault = vault, .log = log, .segment = segment, .purpose = purpose};
}

void seal_done(struct seal *seal)
{
    if (seal->key)
        seal->key = seal->vault->functions->key_free(seal->key);
}

/* The key for this salt becomes the seal's. */
static int use_salt(struct seal *seal, const uint8_t salt[SEAL_SALT])
{
    if (!seal_vault_is_ready(seal->vault))
        return -ENOKEY;
    if (seal->key && memcmp(seal->salt, salt, SEAL_SALT) == 0)
        return 0;
    const struct seal_vault *vault = seal->vault;
    uint8_t key[SEAL_KEY];
    char info[160];
    int len = snprintf(info, sizeof info, "gatehouse streams: %s %s %llu", seal->purpose, seal->log,
                       (unsigned long long)seal->segment);
    seal_done(seal);
    memcpy(seal->salt, salt, SEAL_SALT);
    if (vault->functions->derive(vault->secret, vault->secret_len, salt, SEAL_SALT, info, (size_t)len, key,
                                 sizeof key))
        seal->key = vault->functions->key_new(key);
    explicit_bzero(key, sizeof key);
    return seal->key ? 0 : -ENOMEM;
}

static void make_nonce(uint8_t nonce[SEAL_NONCE], uint32_t counter)
{
    memset(nonce, 0, SEAL_NONCE);
    for (unsigned i = 0; i < 4; i++)
        nonce[i] = (uint8_t)(counter >> 8 * i);
}

int seal_renew(struct seal *seal)
{
    uint8_t salt[SEAL_SALT];
    int r = random_bytes(salt, sizeof salt);
    return r < 0 ? r : use_salt(seal, salt);
}

int seal_shut(struct seal *seal, uint32_t counter, const void *aad, size_t aad_len, uint8_t *bytes,
              size_t len, uint8_t tag[SEAL_TAG])
{
    uint8_t nonce[SEAL_NONCE];
    make_nonce(nonce, counter);
    return seal->vault->functions->seal(seal->key, nonce, aad, aad_len, bytes, len, tag) ? 0 : -ENOMEM;
}

int seal_open(struct seal *seal, const uint8_t id[SEAL_ID], const uint8_t salt[SEAL_SALT], uint32_t counter,
              const void *aad, size_t aad_len, const uint8_t *bytes, size_t len, const uint8_t tag[SEAL_TAG],
              uint8_t *ret)
{
    uint8_t nonce[SEAL_NONCE];
    if (!seal_vault_is_ready(seal->vault))
        return -ENOKEY;
    if (memcmp(id, seal->vault->id, SEAL_ID) != 0)
        return -EKEYREJECTED;
    int r = use_salt(seal, salt);
    if (r < 0)
        return r;
    make_nonce(nonce, counter);
    return seal->vault->functions->open(seal->key, nonce, aad, aad_len, bytes, len, tag, ret) ? 0 : -EUCLEAN;
}
