#include "driver.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS_MAX = 8, SHOWN_MAX = 100, LINE_MAX_BYTES = 4096 };

/* ---- answers ------------------------------------------------------------------------------------------------------ */

void driver_say(const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    if (n < 0)
        return;
    size_t len = (size_t)n < sizeof line - 1 ? (size_t)n : sizeof line - 2;
    line[len] = '\n';
    ssize_t written = write(STDOUT_FILENO, line, len + 1); /* one write: lines of threads do not mix */
    (void)written;
}

void driver_message(const char *topic, int topic_len, int qos, bool retain, const void *payload, size_t len)
{
    int n = topic_len ? topic_len : (int)strlen(topic);
    if (len <= SHOWN_MAX) {
        driver_say("message %.*s %d %d %zu %.*s", n, topic, qos, retain, len, (int)len,
                   (const char *)payload);
        return;
    }
    unsigned long sum = 0;
    for (size_t i = 0; i < len; i++)
        sum += ((const unsigned char *)payload)[i];
    driver_say("message %.*s %d %d %zu sum=%lu", n, topic, qos, retain, len, sum);
}

/* ---- commands ----------------------------------------------------------------------------------------------------- */

static int number(const char *word)
{
    return word ? (int)strtol(word, NULL, 10) : 0;
}

static void fill(const struct driver *driver, char **words)
{
    size_t size = (size_t)number(words[3]);
    unsigned char *payload = malloc(size + 1);
    if (!payload)
        abort();
    for (size_t i = 0; i < size; i++)
        payload[i] = (unsigned char)(i % 251);
    driver->publish(words[1], number(words[2]), false, payload, size);
    free(payload);
}

static void obey(const struct driver *driver, char **words, size_t count)
{
    const char *verb = words[0];
    if (strcmp(verb, "connect") == 0 && count >= 4) {
        driver->connect(&(struct driver_connect){
            .id = words[1],
            .clean = number(words[2]),
            .keepalive_s = number(words[3]),
            .will_topic = words[4],
            .will_payload = words[5],
            .will_qos = number(words[6]),
            .will_retain = number(words[7]),
        });
    } else if (strcmp(verb, "subscribe") == 0 && count == 3) {
        driver->subscribe(words[1], number(words[2]));
    } else if (strcmp(verb, "unsubscribe") == 0 && count == 2) {
        driver->unsubscribe(words[1]);
    } else if (strcmp(verb, "publish") == 0 && count >= 4) {
        const char *payload = words[4] ? words[4] : "";
        driver->publish(words[1], number(words[2]), number(words[3]), payload, strlen(payload));
    } else if (strcmp(verb, "fill") == 0 && count == 4) {
        fill(driver, words);
    } else if (strcmp(verb, "disconnect") == 0) {
        driver->disconnect();
    } else {
        driver_say("failed command %s", verb);
    }
}

void driver_run(const struct driver *driver)
{
    char line[LINE_MAX_BYTES];
    while (fgets(line, sizeof line, stdin)) {
        char *words[WORDS_MAX + 1] = {0}; /* those that are missing are NULL */
        size_t count = 0;
        char *rest = line;
        for (char *word; count < WORDS_MAX && (word = strsep(&rest, " \n"));)
            if (*word)
                words[count++] = word;
        if (count)
            obey(driver, words, count);
    }
}

bool driver_options(struct driver_options *options, int argc, char **argv)
{
    if (argc != 3 && argc != 6) {
        (void)fprintf(stderr, "usage: %s URI 4|5 [CA CERT KEY]\n", argv[0]);
        return false;
    }
    *options = (struct driver_options){.uri = argv[1], .mqtt5 = number(argv[2]) == 5};
    if (argc == 6) {
        options->ca = argv[3];
        options->cert = argv[4];
        options->key = argv[5];
    }
    return true;
}
