/* Uplinks over TLS, with certificates made on the spot: who is let in, and what is said about who is not. */
#include "net/tls_rig.h"
#include "services/uplink/uplink_rig.h"
#include "store/folder.h"

#include <stdio.h>

/* A folder with the files of two authorities, of servers and of a client. */
struct papers {
    char *folder;
    struct uplink_rig *rig;
    char uri[64];
};

static struct identity make(struct papers *papers, const struct identity *issuer, const char *file,
                            const char *name)
{
    struct identity made = identity_new(issuer, name, strlen(name), 10);
    identity_save(&made, papers->folder, file);
    return made;
}

static char *path(const struct papers *papers, const char *file)
{
    return str_printf("%s/%s", papers->folder, file);
}

/* The broker shows SERVER's certificate; `more` is what else it is told. */
static struct papers *papers_new(const char *server, const char *more)
{
    struct papers *papers = mem_new(struct papers);
    papers->folder = folder_new();
    struct identity ca = make(papers, NULL, "ca", "authority");
    struct identity other = make(papers, NULL, "other", "another authority");
    struct identity made[] = {
        make(papers, &ca, "server", "localhost"), make(papers, &ca, "elsewhere", "elsewhere"),
        make(papers, &ca, "client", "plant-1"), make(papers, &other, "stranger", "plant-1")};
    for (size_t i = 0; i < array_size(made); i++)
        identity_done(&made[i]);
    identity_done(&ca);
    identity_done(&other);
    cleanup_free char *configuration =
        str_printf("allow_anonymous true\ncafile %s/ca.pem\ncertfile %s/%s.pem\nkeyfile %s/%s.key\n%s",
                   papers->folder, papers->folder, server, papers->folder, server, more);
    papers->rig = uplink_rig_new(configuration);
    (void)snprintf(papers->uri, sizeof papers->uri, "mqtts://localhost:%u", papers->rig->broker.port);
    mosquitto_start(&papers->rig->broker);
    return papers;
}

static struct papers *papers_free(struct papers *papers)
{
    papers->rig = uplink_rig_free(papers->rig);
    papers->folder = folder_free(papers->folder);
    free(papers);
    return NULL;
}
define_cleanup(struct papers *, papers_free)

/* An uplink that shows CLIENT's certificate (NULL: none) and trusts CA. */
static void open_uplink(struct papers *papers, const char *ca, const char *client)
{
    cleanup_free char *ca_file = str_printf("%s.pem", ca), *ca_path = path(papers, ca_file);
    cleanup_free char *cert = client ? str_printf("%s/%s.pem", papers->folder, client) : NULL;
    cleanup_free char *key = client ? str_printf("%s/%s.key", papers->folder, client) : NULL;
    uplink_rig_open(papers->rig,
                    (struct uplink_options){.uri = papers->uri, .ca = ca_path, .cert = cert, .key = key});
}

#define NEEDS_MOSQUITTO()                                                                                    \
    do {                                                                                                     \
        if (!mosquitto_exists())                                                                             \
            SKIP("mosquitto is not installed");                                                              \
    } while (0)

static void check_refused(struct papers *papers, const char *why)
{
    struct uplink_rig *rig = papers->rig;
    UNTIL(&rig->cloud, uplink_rig_is(rig, "down"));
    if (!strstr(rig->last, why))
        FAIL("expected %s\nin %s", why, rig->last);
    CHECK_INT(cloud_rig_logged(&rig->cloud, "uplink cloud: cannot connect: "), 1);
    CHECK_INT(cloud_rig_logged(&rig->cloud, why), 1);
    CHECK(!strstr(rig->states, "up"));
    CHECK(!strstr(rig->broker.log, "New client connected"));
}

TEST(a_broker_whose_authority_is_trusted_is_connected_to)
{
    NEEDS_MOSQUITTO();
    cleanup(papers_free_p) struct papers *papers = papers_new("server", "");
    open_uplink(papers, "ca", NULL);
    struct uplink_rig *rig = papers->rig;
    UNTIL(&rig->cloud, uplink_rig_is(rig, "up"));
    uplink_rig_send(rig, 100);
    UNTIL(&rig->cloud, rig->settled_count == 100);
    for (unsigned i = 0; i < 100; i++)
        CHECK_INT(rig->settled[i], 0);
    CHECK(strstr(rig->broker.log, "New client connected from 127.0.0.1:"));
}

TEST(a_broker_of_another_authority_is_refused_with_a_clear_line)
{
    NEEDS_MOSQUITTO();
    cleanup(papers_free_p) struct papers *papers = papers_new("server", "");
    open_uplink(papers, "other", NULL);
    check_refused(papers, "cannot connect: TCP/TLS connect failure (no CA that we trust vouches for its certificate)");
}

TEST(a_broker_with_another_hosts_certificate_is_refused)
{
    NEEDS_MOSQUITTO();
    cleanup(papers_free_p) struct papers *papers = papers_new("elsewhere", "");
    open_uplink(papers, "ca", NULL);
    check_refused(papers, "its certificate is another host's)");
}

TEST(a_ca_file_that_is_missing_is_told)
{
    NEEDS_MOSQUITTO();
    cleanup(papers_free_p) struct papers *papers = papers_new("server", "");
    open_uplink(papers, "no-such-file", NULL);
    struct uplink_rig *rig = papers->rig;
    UNTIL(&rig->cloud, uplink_rig_is(rig, "down"));
    CHECK_INT(cloud_rig_logged(&rig->cloud, "uplink cloud: cannot read "), 1);
    CHECK_INT(cloud_rig_logged(&rig->cloud, "no-such-file.pem: No such file or directory"), 1);
}

TEST(a_broker_that_asks_for_a_certificate_gets_ours)
{
    NEEDS_MOSQUITTO();
    cleanup(papers_free_p) struct papers *papers = papers_new("server", "require_certificate true\n");
    open_uplink(papers, "ca", "client");
    UNTIL(&papers->rig->cloud, uplink_rig_is(papers->rig, "up"));
}

TEST(without_the_certificate_the_broker_asks_for_there_is_no_connection)
{
    static const char *const clients[] = {NULL, "stranger"};
    NEEDS_MOSQUITTO();
    for (size_t i = 0; i < array_size(clients); i++) {
        cleanup(papers_free_p) struct papers *papers = papers_new("server", "require_certificate true\n");
        open_uplink(papers, "ca", clients[i]);
        UNTIL(&papers->rig->cloud, uplink_rig_is(papers->rig, "down"));
        CHECK(!strstr(papers->rig->states, "up"));
        CHECK(cloud_rig_logged(&papers->rig->cloud, "uplink cloud: ") >= 1);
    }
}

TEST(tls_towards_a_broker_without_it_is_refused)
{
    NEEDS_MOSQUITTO();
    cleanup(uplink_rig_free_p) struct uplink_rig *rig = uplink_rig_new("allow_anonymous true\n");
    mosquitto_start(&rig->broker);
    char uri[64];
    (void)snprintf(uri, sizeof uri, "mqtts://localhost:%u", rig->broker.port);
    uplink_rig_open(rig, (struct uplink_options){.uri = uri});
    UNTIL(&rig->cloud, uplink_rig_is(rig, "down"));
    CHECK_INT(cloud_rig_logged(&rig->cloud, "uplink cloud: cannot connect: "), 1);
    CHECK(strstr(rig->last, "it is no TLS") || strstr(rig->last, "wrong version number"));
}
