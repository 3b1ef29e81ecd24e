/* The programs that the tests start: the floor, the load generator, a Mosquitto. All end with the test, whatever fails. */
#pragma once

#include <sys/types.h>

enum { LINE_MAX_LEN = 2048 };

struct child {
    pid_t pid;
    int output; /* its stdout or stderr */
    int input;  /* its stdin */
};

/* `stream` of the child can be read. */
struct child child_start(char *const *command, int stream);
/* Closes its input and waits; its exit status, 128 and more for a signal. */
int child_end(struct child *child);
/* Reads until a line is complete or the child has closed its end. */
void child_line(const struct child *child, char line[LINE_MAX_LEN]);
void child_say(const struct child *child, const char *line);

struct floor {
    struct child child;
    char line[LINE_MAX_LEN];
    const char *uri; /* in the line */
};
void floor_start(struct floor *floor, const char *options);
void floor_end(struct floor *floor);

/* The packaged Mosquitto on a Unix socket, so that no port needs to be guessed. The test is skipped if it is not there. */
struct mosquitto {
    struct child child;
    char folder[32], uri[80];
};
void mosquitto_start(struct mosquitto *mosquitto, const char *more_configuration);
void mosquitto_end(struct mosquitto *mosquitto);

/* A temporary folder with certificates; FOLDER_TEMPLATE is what it begins as. */
#define FOLDER_TEMPLATE "/tmp/bench-XXXXXX"
void certificates_make(char *folder);
void certificates_remove(const char *folder);

/* The generator, started with options and the address. */
struct child load_start(const char *uri, const char *options, int stream);
/* Runs it; returns its exit status and its first line on `stream`. */
int load_says(const char *uri, const char *options, int stream, char line[LINE_MAX_LEN]);
/* A number of its line of JSON; -1 if there is none of that name. */
long field(const char *line, const char *name);
