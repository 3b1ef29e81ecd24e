#include "identity/authority.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Files are written beside their place and moved there. A certificate and its key are both beside before the first is moved,
 * the key: a power cut leaves both as they were, or a key in its place and its certificate beside, which is moved at the next
 * start. */

enum {
    NAMES_MAX = 64,
    DAY_S = 24 * 60 * 60,
    RENEW_BEFORE_S = 30 * DAY_S,
    SERVER_LIFE_S = 825 * DAY_S, /* what clients that know the web's rules take at most */
};

static const int64_t clock_floor_s = 1704067200; /* 2024-01-01: before that the clock was never set */
static const int64_t forever_s = 2524607999;     /* 2049-12-31T23:59:59Z, as AWS IoT has it */

struct authority {
    char *folder, *name;
    char *ca, *server, *server_key, *ca_key, *crl; /* paths */
    bool ca_given, ca_key_given, server_key_given; /* by the operator: they are not written */
    char *pem;                                     /* ca.pem */
    char id[X509_ID_BYTES];
    int64_t ends_s; /* nothing that it signs is good for longer */
    struct x509_signer *signer;
    char *names[NAMES_MAX]; /* given, then the host's */
    size_t given, count;
    uint64_t crl_number;
};

/* ---- files --------------------------------------------------------------------------------------------------------------- */

static char *read_file(const char *path)
{
    cleanup(fd_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = fd < 0 ? NULL : mem_new_bytes(X509_PEM_MAX + 1);
    ssize_t n = text ? read(fd, text, X509_PEM_MAX) : -1;
    if (n >= 0)
        return text;
    free(text);
    return NULL;
}

static int write_all(int fd, const char *text)
{
    for (size_t len = strlen(text); len;) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            text += n;
            len -= (size_t)n;
        }
    }
    return fsync(fd) < 0 ? -errno : 0;
}

static char *beside_of(const char *path)
{
    return str_printf("%s.new", path);
}

static int cannot_write(const char *path, int r, char **why)
{
    *why = str_printf("%s: cannot be written: %s", path, strerror(-r));
    return r;
}

static int write_beside(const char *path, const char *text, mode_t mode, char **why)
{
    cleanup_free char *beside = beside_of(path);
    (void)unlink(beside);
    cleanup(fd_close_p) int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    int r = fd < 0 ? -errno : write_all(fd, text);
    return r < 0 ? cannot_write(path, r, why) : 0;
}

static int move(const char *path, char **why)
{
    cleanup_free char *beside = beside_of(path);
    return rename(beside, path) < 0 ? cannot_write(path, -errno, why) : 0;
}

static int write_file(const char *path, const char *text, mode_t mode, char **why)
{
    int r = write_beside(path, text, mode, why);
    return r < 0 ? r : move(path, why);
}

/* What was moved is on disk. */
static int sync_folder(const struct authority *authority, char **why)
{
    cleanup(fd_close_p) int fd = open(authority->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? cannot_write(authority->folder, -errno, why) : 0;
}

/* Its key is somewhere else. */
static int write_certificate(const struct authority *authority, const char *certificate,
                             const struct x509_issued *issued, char **why)
{
    int r = write_file(certificate, issued->pem, 0644, why);
    return r < 0 ? r : sync_folder(authority, why);
}

static int write_pair(const struct authority *authority, const char *key, const char *certificate,
                      const struct x509_issued *issued, char **why)
{
    if (!issued->key_pem)
        return write_certificate(authority, certificate, issued, why);
    cleanup_free char *late = beside_of(certificate);
    (void)unlink(late); /* first, or it would be taken for this key's */
    int r = write_beside(key, issued->key_pem, 0600, why);
    if (r >= 0)
        r = write_beside(certificate, issued->pem, 0644, why);
    if (r >= 0)
        r = sync_folder(authority, why);
    if (r >= 0)
        r = move(key, why);
    if (r >= 0)
        r = sync_folder(authority, why);
    if (r >= 0)
        r = move(certificate, why);
    return r < 0 ? r : sync_folder(authority, why);
}

/* After a power cut: a certificate beside its place whose key is in its place. */
static int finish_pair(const char *key, const char *certificate, char **why)
{
    cleanup_free char *key_beside = beside_of(key), *late = beside_of(certificate);
    if (access(late, F_OK) < 0)
        return 0;
    return access(key_beside, F_OK) == 0 || access(key, F_OK) < 0 ? 0 : move(certificate, why);
}

/* ---- names ---------------------------------------------------------------------------------------------------------------- */

static bool has_name(const struct authority *authority, const char *name)
{
    for (size_t i = 0; i < authority->count; i++)
        if (strcasecmp(authority->names[i], name) == 0)
            return true;
    return false;
}

static void add_name(struct authority *authority, const char *name)
{
    if (*name && authority->count < NAMES_MAX && !has_name(authority, name))
        authority->names[authority->count++] = str_copy(name);
}

/* An address of the host that others may know it by; link-local ones change and are not written in certificates. */
static void add_address(struct authority *authority, const struct ifaddrs *at)
{
    char text[INET6_ADDRSTRLEN];
    if (!at->ifa_addr || !(at->ifa_flags & IFF_UP))
        return;
    if (at->ifa_addr->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)at->ifa_addr;
        if (inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text))
            add_name(authority, text);
    } else if (at->ifa_addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)at->ifa_addr;
        if (!IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr) && inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text))
            add_name(authority, text);
    }
}

static void find_names(struct authority *authority)
{
    while (authority->count > authority->given)
        free(authority->names[--authority->count]);
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) == 0 && *host) {
        add_name(authority, host);
        if (!strchr(host, '.')) {
            cleanup_free char *local = str_printf("%s.local", host); /* as multicast DNS has it */
            add_name(authority, local);
        }
    }
    add_name(authority, "localhost");
    struct ifaddrs *list = NULL;
    if (getifaddrs(&list) == 0) {
        for (const struct ifaddrs *at = list; at; at = at->ifa_next)
            add_address(authority, at);
        freeifaddrs(list);
    }
}

/* ---- certificates --------------------------------------------------------------------------------------------------------- */

static int64_t begins(int64_t now_s)
{
    return now_s < clock_floor_s ? clock_floor_s : now_s - DAY_S; /* clients' clocks differ */
}

static int make_ca(struct authority *authority, int64_t now_s, char **why)
{
    cleanup_free char *name = str_printf("Gatehouse CA %s", authority->name);
    const struct x509_wish wish = {.usage = X509_AUTHORITY,
                                   .key = X509_EC_P256,
                                   .key_at = authority->ca_key_given ? authority->ca_key : NULL,
                                   .common_name = name,
                                   .organization = "Gatehouse",
                                   .not_before_s = begins(now_s),
                                   .not_after_s = forever_s};
    struct x509_issued issued;
    int r = x509_issue(&issued, NULL, &wish, why);
    if (r < 0)
        return r;
    r = write_pair(authority, authority->ca_key, authority->ca, &issued, why);
    if (r >= 0)
        log_notice("%s: made, a certificate authority of this gateway's own", authority->ca);
    x509_issued_done(&issued);
    return r;
}

/* Reads ca.pem, and opens its key. */
static int take_ca(struct authority *authority, char **why)
{
    char *reason = NULL;
    char *pem = read_file(authority->ca);
    struct x509_signer *signer = NULL;
    int r = -EINVAL;
    if (!pem)
        reason = str_printf("expected a certificate in PEM form: %s", strerror(errno));
    else
        r = x509_signer_open(&signer, pem, authority->ca_key, &reason);
    if (r >= 0) {
        size_t len;
        const uint8_t *der = x509_signer_der(signer, &len);
        struct x509_facts facts;
        r = x509_facts(&facts, der, len, &reason);
        if (r >= 0) {
            memcpy(authority->id, facts.id, sizeof authority->id);
            authority->ends_s = facts.not_after_s;
            x509_facts_done(&facts);
        }
    }
    if (r < 0) {
        free(pem);
        (void)x509_signer_close(signer);
        *why = str_printf("%s: %s", authority->ca, reason ? reason : strerror(-r));
        free(reason);
        return r;
    }
    free(authority->pem);
    authority->pem = pem;
    authority->signer = x509_signer_close(authority->signer);
    authority->signer = signer;
    return 0;
}

struct names {
    size_t found, missing;
    const struct authority *authority;
};

static void on_field(void *self, const char *key, const char *value, size_t len)
{
    struct names *names = self;
    if (strcmp(key, "iot:Certificate.Subject.AlternativeName.DNSName") != 0 &&
        strcmp(key, "iot:Certificate.Subject.AlternativeName.IPAddress") != 0)
        return;
    names->found++;
    cleanup_free char *name = str_copy_n(value, len);
    unsigned char bytes[16];
    char text[INET6_ADDRSTRLEN];
    if (inet_pton(AF_INET6, name, bytes) == 1 && inet_ntop(AF_INET6, bytes, text, sizeof text))
        names->missing += !has_name(names->authority, text); /* in one spelling */
    else
        names->missing += !has_name(names->authority, name);
}

/* Is server.pem for these names, signed by this authority, and good for a while? */
static bool server_is_good(const struct authority *authority, int64_t now_s)
{
    cleanup_free char *pem = read_file(authority->server);
    uint8_t *der;
    size_t len, ca_len;
    if (!pem || (!authority->server_key_given && access(authority->server_key, R_OK) < 0) ||
        x509_from_pem(&der, &len, pem, strlen(pem), NULL) < 0)
        return false;
    const uint8_t *ca = x509_signer_der(authority->signer, &ca_len);
    struct x509_facts facts;
    struct names names = {.authority = authority};
    bool good = x509_is_issued_by(der, len, ca, ca_len) && x509_facts(&facts, der, len, NULL) >= 0;
    if (good) {
        x509_each_field(der, len, on_field, &names);
        good = names.found == authority->count && !names.missing &&
               (now_s < clock_floor_s || facts.not_after_s - now_s > RENEW_BEFORE_S ||
                facts.not_after_s == authority->ends_s);
        x509_facts_done(&facts);
    }
    free(der);
    return good;
}

/* Until the clock has been set nobody knows when two years will be over. */
static int64_t server_ends(const struct authority *authority, int64_t now_s)
{
    int64_t ends = now_s < clock_floor_s ? forever_s : now_s + SERVER_LIFE_S;
    return ends < authority->ends_s ? ends : authority->ends_s;
}

/* It was made for another key, perhaps before this one was configured, or while another was. */
static int check_server_key(const struct authority *authority, char **why)
{
    bool there = authority->server_key_given || access(authority->server_key, R_OK) == 0;
    cleanup_free char *pem = there ? read_file(authority->server) : NULL;
    uint8_t *der;
    size_t len;
    if (!pem || x509_from_pem(&der, &len, pem, strlen(pem), NULL) < 0)
        return 0;
    char *reason = NULL;
    if (!x509_is_of_key(der, len, authority->server_key, &reason) && !reason)
        (void)unlink(authority->server);
    free(der);
    if (!reason || !authority->server_key_given) { /* ours: whoever needs it says what is wrong with it */
        free(reason);
        return 0;
    }
    *why = reason;
    return -EINVAL;
}

static int make_server(struct authority *authority, int64_t now_s, char **why)
{
    const struct x509_wish wish = {.usage = X509_SERVER,
                                   .key = X509_EC_P256,
                                   .key_at = authority->server_key_given ? authority->server_key : NULL,
                                   .common_name = authority->name,
                                   .organization = "Gatehouse",
                                   .not_before_s = begins(now_s),
                                   .not_after_s = server_ends(authority, now_s),
                                   .names = (const char *const *)authority->names,
                                   .name_count = authority->count};
    struct x509_issued issued;
    int r = x509_issue(&issued, authority->signer, &wish, why);
    if (r < 0)
        return r;
    r = write_pair(authority, authority->server_key, authority->server, &issued, why);
    if (r >= 0)
        log_notice("%s: made, for %zu names and addresses", authority->server, authority->count);
    x509_issued_done(&issued);
    return r;
}

/* ---- life ------------------------------------------------------------------------------------------------------------------ */

static char *path_in(const struct authority *authority, const char *file)
{
    return str_printf("%s/%s", authority->folder, file);
}

static char *given_or(const struct authority *authority, const char *given, const char *file)
{
    return given ? str_copy(given) : path_in(authority, file);
}

/* What an earlier start has left half done. */
static int finish_pairs(const struct authority *authority, char **why)
{
    int r = authority->ca_given || authority->ca_key_given
                ? 0
                : finish_pair(authority->ca_key, authority->ca, why);
    return r < 0 || authority->server_key_given ? r
                                                : finish_pair(authority->server_key, authority->server, why);
}

int authority_open(struct authority **ret, const struct authority_options *options, int64_t now_s, char **why)
{
    cleanup(authority_close_p) struct authority *authority = mem_new(struct authority);
    authority->folder = str_copy(options->folder);
    authority->name = str_copy(options->name);
    authority->ca_given = options->ca, authority->ca = given_or(authority, options->ca, "ca.pem");
    authority->ca_key_given = options->ca_key;
    authority->ca_key = given_or(authority, options->ca_key, "ca.key");
    authority->server = path_in(authority, "server.pem");
    authority->server_key_given = options->server_key;
    authority->server_key = given_or(authority, options->server_key, "server.key");
    authority->crl = path_in(authority, "ca.crl");
    for (size_t i = 0; i < options->name_count; i++)
        add_name(authority, options->names[i]);
    authority->given = authority->count;
    if (mkdir(authority->folder, 0700) < 0 && errno != EEXIST) {
        *why = str_printf("%s: %s", authority->folder, strerror(errno));
        return -errno;
    }
    int r = finish_pairs(authority, why);
    if (r >= 0 && !authority->ca_given && access(authority->ca, F_OK) < 0)
        r = make_ca(authority, now_s, why);
    if (r >= 0)
        r = take_ca(authority, why);
    if (r >= 0)
        r = check_server_key(authority, why);
    if (r >= 0)
        r = authority_refresh(authority, now_s, why);
    if (r < 0)
        return r;
    *ret = steal(authority);
    return 0;
}

struct authority *authority_close(struct authority *authority)
{
    if (!authority)
        return NULL;
    (void)x509_signer_close(authority->signer);
    for (size_t i = 0; i < authority->count; i++)
        free(authority->names[i]);
    free(authority->folder);
    free(authority->name);
    free(authority->ca);
    free(authority->ca_key);
    free(authority->server);
    free(authority->server_key);
    free(authority->crl);
    free(authority->pem);
    free(authority);
    return NULL;
}

int authority_refresh(struct authority *authority, int64_t now_s, char **why)
{
    find_names(authority);
    if (server_is_good(authority, now_s))
        return 0;
    int r = make_server(authority, now_s, why);
    return r < 0 ? r : 1;
}

int authority_rotate(struct authority *authority, int64_t now_s, char **why)
{
    if (authority->ca_given || authority->ca_key_given) {
        *why = str_printf("expected an authority that the gateway has made: %s is configured",
                          authority->ca_given ? authority->ca : authority->ca_key);
        return -EPERM;
    }
    /* The old one stays beside, for whoever must still look at what it signed. */
    cleanup_free char *old = str_printf("%s/ca-%.8s.pem", authority->folder, authority->id);
    int r = write_file(old, authority->pem, 0644, why);
    if (r >= 0)
        r = make_ca(authority, now_s, why);
    if (r >= 0)
        r = take_ca(authority, why);
    if (r >= 0)
        r = make_server(authority, now_s, why);
    return r;
}

/* ---- what it does ---------------------------------------------------------------------------------------------------------- */

int authority_issue(struct authority *authority, struct x509_issued *ret, const struct x509_wish *wish,
                    int64_t now_s, char **why)
{
    struct x509_wish dated = *wish;
    if (!dated.not_before_s)
        dated.not_before_s = begins(now_s);
    if (authority->ends_s <= now_s || authority->ends_s <= dated.not_before_s) {
        *why = str_printf("expected an authority that is still valid: %s has ended", authority->ca);
        return -EINVAL;
    }
    if (!dated.not_after_s || dated.not_after_s > authority->ends_s)
        dated.not_after_s = authority->ends_s; /* nobody takes it when its authority has ended */
    return x509_issue(ret, authority->signer, &dated, why);
}

int authority_write_crl(struct authority *authority, const struct x509_revoked *revoked, size_t count,
                        int64_t now_s, char **why)
{
    int64_t at = now_s < clock_floor_s ? clock_floor_s : now_s;
    uint64_t number = (uint64_t)at > authority->crl_number ? (uint64_t)at : authority->crl_number + 1;
    cleanup_free char *text =
        x509_revocation_list(authority->signer, revoked, count, at, forever_s, number, why);
    if (!text)
        return -EINVAL;
    authority->crl_number = number;
    return write_file(authority->crl, text, 0644, why);
}

const char *authority_ca_path(const struct authority *authority)
{
    return authority->ca;
}

const char *authority_server_path(const struct authority *authority)
{
    return authority->server;
}

const char *authority_server_key_path(const struct authority *authority)
{
    return authority->server_key;
}

const char *authority_ca_pem(const struct authority *authority)
{
    return authority->pem;
}

const char *authority_id(const struct authority *authority)
{
    return authority->id;
}

const struct x509_signer *authority_signer(const struct authority *authority)
{
    return authority->signer;
}
