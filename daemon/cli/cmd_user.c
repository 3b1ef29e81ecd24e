/* user: people and programs that come with a name and a password. The password becomes a hash here, and goes no further. */
#include "cli/registry.h"

#include "identity/password.h"

#include <dlfcn.h>
#include <errno.h>
#include <openssl/evp.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <termios.h>
#include <unistd.h>

static const struct column user_columns[] = {
    {"USER", "name", COLUMN_TEXT},         {"STATUS", "status", COLUMN_TEXT}, {"HASH", "hash", COLUMN_TEXT},
    {"POLICIES", "policies", COLUMN_TEXT}, {"THINGS", "things", COLUMN_TEXT}, {0},
};
static const char *const by_name[] = {"name", NULL};

enum { LINE_MAX_BYTES = PASSWORD_MAX + 2 };

/* ---- a password ---------------------------------------------------------------------------------------------------- */

/* A line without its end. false: there is none, or it is too long, and that has been said. */
static bool read_line(FILE *in, char line[LINE_MAX_BYTES])
{
    line[0] = '\0';
    if (!fgets(line, LINE_MAX_BYTES, in)) {
        (void)fputs("gatehouse: expected a password on standard input, found nothing\n", stderr);
        return false;
    }
    size_t len = strlen(line);
    bool whole = len && line[len - 1] == '\n';
    if (!whole && len == LINE_MAX_BYTES - 1) {
        (void)fprintf(stderr, "gatehouse: expected a password of at most %d bytes\n", PASSWORD_MAX);
        return false;
    }
    if (whole)
        line[--len] = '\0';
    if (len && line[len - 1] == '\r')
        line[--len] = '\0';
    if (!len)
        (void)fputs("gatehouse: expected a password, found an empty line\n", stderr);
    return len > 0;
}

static struct termios terminal; /* as it was */

/* Who stops us must find his terminal as it was: one that shows nothing is taken for one that hangs. */
static void on_stop(int number)
{
    (void)tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
    (void)raise(number); /* its handler was for once */
}

static void listen_to_signals(void (*handler)(int))
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    const struct sigaction action = {.sa_handler = handler, .sa_flags = (int)SA_RESETHAND};
    for (size_t i = 0; i < array_size(numbers); i++)
        (void)sigaction(numbers[i], &action, NULL);
}

static bool ask_line(const char *prompt, char line[LINE_MAX_BYTES])
{
    (void)fputs(prompt, stderr);
    bool is_quiet = tcgetattr(STDIN_FILENO, &terminal) == 0;
    struct termios silent = terminal;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    if (is_quiet) {
        listen_to_signals(on_stop);
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    }
    bool good = read_line(stdin, line);
    if (is_quiet) {
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal);
        listen_to_signals(SIG_DFL);
    }
    (void)fputc('\n', stderr);
    return good;
}

/* At a terminal twice, without showing it; else the first line. */
static bool read_password(char line[LINE_MAX_BYTES])
{
    char again[LINE_MAX_BYTES];
    if (!isatty(STDIN_FILENO))
        return read_line(stdin, line);
    if (!ask_line("Password: ", line) || !ask_line("Once more: ", again))
        return false;
    bool same = strcmp(line, again) == 0;
    explicit_bzero(again, sizeof again);
    if (!same)
        (void)fputs("gatehouse: the two are not the same\n", stderr);
    return same;
}

/* OpenSSL is only loaded for this: every other command starts without it. */
static bool make_hash(const char *text, char ret[PASSWORD_TEXT_MAX])
{
    void *crypto = dlopen(GATEHOUSE_LIBCRYPTO, RTLD_NOW | RTLD_LOCAL);
    __typeof__(EVP_PBE_scrypt) *scrypt = NULL;
    void *symbol = crypto ? dlsym(crypto, "EVP_PBE_scrypt") : NULL;
    memcpy(&scrypt, &symbol, sizeof scrypt);
    struct password password = {.kind = PASSWORD_SCRYPT,
                                .cost = password_cost,
                                .salt_len = PASSWORD_SALT_BYTES,
                                .hash_len = PASSWORD_HASH_BYTES};
    if (!scrypt) {
        (void)fprintf(stderr, "gatehouse: OpenSSL cannot be loaded: %s\n", dlerror());
        return false;
    }
    bool good =
        getrandom(password.salt, password.salt_len, 0) == (ssize_t)password.salt_len &&
        scrypt(text, strlen(text), password.salt, password.salt_len, UINT64_C(1) << password_cost.log_n,
               password_cost.r, password_cost.p, 0, password.hash, password.hash_len) == 1;
    if (good)
        password_write(&password, ret);
    else
        (void)fputs("gatehouse: the password's hash cannot be computed: no memory\n", stderr);
    (void)dlclose(crypto);
    return good;
}

/* ---- commands --------------------------------------------------------------------------------------------------------- */

static int put_hash(const struct call *call, const char *name, const char *hash, bool replace,
                    struct json **answer, struct arena *arena)
{
    struct json *request = json_new(arena, JSON_OBJECT);
    registry_set(arena, request, "name", name);
    registry_set(arena, request, "hash", hash);
    json_set(request, "replace", 7, json_new(arena, replace ? JSON_TRUE : JSON_FALSE));
    return registry_ask(call, arena, "$gatehouse/ctl/user/put", request, answer);
}

static int put_user(const struct call *call, bool replace, const char *done)
{
    char line[LINE_MAX_BYTES], hash[PASSWORD_TEXT_MAX];
    bool good = read_password(line) && make_hash(line, hash);
    explicit_bzero(line, sizeof line);
    if (!good)
        return CLI_REFUSED;
    struct arena arena;
    struct json *answer;
    arena_init(&arena);
    int code = put_hash(call, call->arguments[0], hash, replace, &answer, &arena);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        (void)printf("%s: %s\n", call->arguments[0], done);
    arena_done(&arena);
    return code;
}

int cmd_user_add(const struct call *call)
{
    return put_user(call, false, "added");
}

int cmd_user_passwd(const struct call *call)
{
    return put_user(call, true, "has another password");
}

int cmd_user_delete(const struct call *call)
{
    return registry_do(call, "$gatehouse/ctl/user/delete", by_name, "deleted");
}

static int set_active(const struct call *call, bool active)
{
    struct arena arena;
    struct json *answer, *request = registry_request(call, &arena, by_name);
    json_set(request, "active", 6, json_new(&arena, active ? JSON_TRUE : JSON_FALSE));
    int code = registry_ask(call, &arena, "$gatehouse/ctl/user/status", request, &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        (void)printf("%s: %s\n", call->arguments[0], active ? "ACTIVE" : "INACTIVE");
    arena_done(&arena);
    return code;
}

int cmd_user_enable(const struct call *call)
{
    return set_active(call, true);
}

int cmd_user_disable(const struct call *call)
{
    return set_active(call, false);
}

int cmd_user_list(const struct call *call)
{
    static const char *const no_members[] = {NULL};
    struct arena arena;
    struct json *answer, *request = registry_request(call, &arena, no_members);
    int code = registry_ask(call, &arena, "$gatehouse/ctl/user/list", request, &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON)) {
        answer_print(answer);
    } else if (code == CLI_DONE) {
        json_for_each (row, json_get(answer, "users")) {
            registry_set(&arena, row, "policies", registry_flat(&arena, json_get(row, "policies")));
            registry_set(&arena, row, "things", registry_flat(&arena, json_get(row, "things")));
        }
        print_table(stdout, json_get(answer, "users"), user_columns, "There is no user: gatehouse user add.");
    }
    arena_done(&arena);
    return code;
}

/* ---- import ------------------------------------------------------------------------------------------------------------- */

/* NAME:$7$ROUNDS$SALT$HASH. NULL, or what is wrong with it. */
static const char *import_line(const struct call *call, struct arena *arena, char *line, int *code)
{
    char *hash = strchr(line, ':');
    struct password password;
    struct json *answer;
    if (!hash)
        return "expected NAME:HASH";
    *hash++ = '\0';
    if (strncmp(hash, "$6$", 3) == 0)
        return "expected $7$ (PBKDF2), found $6$, a hash of one round: set that password with gatehouse user add";
    if (!password_parse(&password, hash, strlen(hash)))
        return "expected $7$ROUNDS$SALT$HASH behind the name";
    int r = put_hash(call, line, hash, false, &answer, arena); /* says what it refuses */
    if (r == CLI_DONE)
        (void)printf("%s: added\n", line);
    else
        *code = r;
    return NULL;
}

int cmd_user_import(const struct call *call)
{
    const char *path = call->arguments[0];
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!file) {
        (void)fprintf(stderr, "gatehouse: %s: %s\n", path, strerror(errno));
        return CLI_REFUSED;
    }
    int code = CLI_DONE;
    unsigned number = 0;
    cleanup_free char *line = NULL;
    size_t size = 0;
    while (code != CLI_NO_DAEMON && getline(&line, &size, file) >= 0) {
        struct arena arena;
        arena_init(&arena);
        line[strcspn(line, "\r\n")] = '\0';
        number++;
        const char *wrong = *line && *line != '#' ? import_line(call, &arena, line, &code) : NULL;
        if (wrong) {
            (void)fprintf(stderr, "gatehouse: %s:%u: %s\n", path, number, wrong);
            code = CLI_REFUSED;
        }
        arena_done(&arena);
    }
    if (file != stdin)
        (void)fclose(file);
    return code;
}
