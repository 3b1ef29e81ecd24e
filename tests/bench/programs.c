#include "bench/programs.h"

#include "rig/test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 24 };

/* ---- children ----------------------------------------------------------------------------------------------------- */

struct child child_start(char *const *command, int stream)
{
    int out[2], in[2];

    CHECK_INT(pipe2(out, O_CLOEXEC), 0);
    CHECK_INT(pipe2(in, O_CLOEXEC), 0);
    pid_t parent = getpid(), pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* even if a failed check jumps over child_end() */
        if (getppid() != parent || dup2(out[1], stream) < 0 || dup2(in[0], STDIN_FILENO) < 0)
            _exit(126);
        (void)execvp(command[0], command);
        _exit(127);
    }
    (void)close(out[1]);
    (void)close(in[0]);
    return (struct child){.pid = pid, .output = out[0], .input = in[1]};
}

int child_end(struct child *child)
{
    int status;

    (void)close(child->input);
    (void)close(child->output);
    CHECK_INT(waitpid(child->pid, &status, 0), child->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void child_line(const struct child *child, char line[LINE_MAX_LEN])
{
    size_t n = 0;

    while (n < LINE_MAX_LEN - 1 && read(child->output, line + n, 1) == 1 && line[n] != '\n')
        n++;
    line[n] = '\0';
}

void child_say(const struct child *child, const char *line)
{
    CHECK_INT(write(child->input, line, strlen(line)), strlen(line));
    CHECK_INT(write(child->input, "\n", 1), 1);
}

/* Splits `text` at its spaces behind the words that are already there. */
static void add_words(char **command, char *text)
{
    size_t n = 0;

    while (command[n])
        n++;
    for (char *rest, *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        CHECK(n < ARGUMENTS_MAX);
        command[n++] = word;
    }
}

/* ---- the floor ---------------------------------------------------------------------------------------------------- */

void floor_start(struct floor *floor, const char *options)
{
    char *command[ARGUMENTS_MAX + 1] = {(char *)(uintptr_t)BENCH_FLOOR};
    char text[256];

    (void)snprintf(text, sizeof(text), "%s", options);
    add_words(command, text);
    floor->child = child_start(command, STDERR_FILENO);
    child_line(&floor->child, floor->line);
    floor->uri = strstr(floor->line, "listening on ");
    CHECK(floor->uri);
    floor->uri += strlen("listening on ");
}

void floor_end(struct floor *floor)
{
    CHECK_INT(kill(floor->child.pid, SIGTERM), 0);
    CHECK_INT(child_end(&floor->child), 128 + SIGTERM);
}

/* ---- Mosquitto ---------------------------------------------------------------------------------------------------- */

void mosquitto_start(struct mosquitto *mosquitto, const char *more_configuration)
{
    static char program[] = "/usr/sbin/mosquitto";
    char line[LINE_MAX_LEN], path[64], config[64];

    if (access(program, X_OK) < 0)
        SKIP("the packaged Mosquitto is not installed");
    (void)snprintf(mosquitto->folder, sizeof(mosquitto->folder), "%s", FOLDER_TEMPLATE);
    CHECK(mkdtemp(mosquitto->folder));
    (void)snprintf(path, sizeof(path), "%s/socket", mosquitto->folder);
    (void)snprintf(config, sizeof(config), "%s/conf", mosquitto->folder);
    (void)snprintf(mosquitto->uri, sizeof(mosquitto->uri), "unix://%s", path);
    FILE *file = fopen(config, "we");
    CHECK(file);
    fprintf(file, "listener 0 %s\nallow_anonymous true\nlog_dest stderr\nlog_type information\n%s\n%s", path,
            geteuid() == 0 ? "user root" : "", more_configuration);
    CHECK_INT(fclose(file), 0);

    char *command[] = {program, (char[]){"-c"}, config, NULL};
    mosquitto->child = child_start(command, STDERR_FILENO);
    do
        child_line(&mosquitto->child, line);
    while (line[0] && !strstr(line, " running"));
    CHECK_INT(unlink(config), 0);
}

void mosquitto_end(struct mosquitto *mosquitto)
{
    CHECK_INT(kill(mosquitto->child.pid, SIGTERM), 0);
    CHECK_INT(child_end(&mosquitto->child), 0);
    (void)unlink(mosquitto->uri + strlen("unix://"));
    CHECK_INT(rmdir(mosquitto->folder), 0);
}

/* ---- certificates ------------------------------------------------------------------------------------------------- */

void certificates_make(char *folder)
{
    CHECK(mkdtemp(folder));
    char *command[] = {(char *)(uintptr_t)BENCH_CERTIFICATES, folder, NULL};
    struct child child = child_start(command, STDOUT_FILENO);
    CHECK_INT(child_end(&child), 0);
}

void certificates_remove(const char *folder)
{
    static const char *const names[] = {"ca.pem", "server.pem", "server.key", "client.pem", "client.key"};
    char path[64];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        CHECK_INT(unlink(path), 0);
    }
    CHECK_INT(rmdir(folder), 0);
}

/* ---- the generator ------------------------------------------------------------------------------------------------ */

struct child load_start(const char *uri, const char *options, int stream)
{
    char *command[ARGUMENTS_MAX + 1] = {(char *)(uintptr_t)BENCH_LOAD};
    char text[512];

    (void)snprintf(text, sizeof(text), "%s --to %s", options, uri);
    add_words(command, text);
    return child_start(command, stream);
}

int load_says(const char *uri, const char *options, int stream, char line[LINE_MAX_LEN])
{
    struct child child = load_start(uri, options, stream);

    child_line(&child, line);
    return child_end(&child);
}

long field(const char *line, const char *name)
{
    char key[64];

    (void)snprintf(key, sizeof(key), "\"%s\":", name);
    const char *found = strstr(line, key);
    return found ? strtol(found + strlen(key), NULL, 10) : -1;
}
