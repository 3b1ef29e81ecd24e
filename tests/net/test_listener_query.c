/* What stands behind ? in a listener's URI; test_listener_uri.c has the rest. */
#include "net/listener.h"

#include "rig/test.h"

#include <errno.h>

static struct listener_uri parsed(const char *text)
{
    struct listener_uri uri;
    char *why = NULL;
    if (listener_uri_parse(&uri, text, &why) < 0)
        FAIL("%s: %s", text, why);
    return uri;
}

static void check_refused(const char *text, const char *expected)
{
    struct listener_uri uri;
    char *why = NULL;
    if (listener_uri_parse(&uri, text, &why) >= 0)
        FAIL("%s is taken", text);
    CHECK_STR(why, expected);
    free(why);
}

TEST(certificates_and_keys_go_together_by_their_order)
{
    cleanup(listener_uri_done) struct listener_uri uri =
        parsed("mqtts://h:1?cert=a&cert=b&key=ak&ca=c&key=bk&certs=/etc/certs");
    CHECK_INT(uri.cert_count, 2);
    CHECK_STR(uri.certs[0].cert, "a");
    CHECK_STR(uri.certs[0].key, "ak");
    CHECK_STR(uri.certs[1].cert, "b");
    CHECK_STR(uri.certs[1].key, "bk");
    CHECK_STR(uri.folder, "/etc/certs");
    cleanup(listener_uri_done) struct listener_uri folder = parsed("wss://h:1?certs=d&ca=c");
    CHECK_INT(folder.cert_count, 0);
    check_refused("mqtts://h:1?cert=a&cert=b&key=ak&ca=c", "mqtts: expected cert=FILE and key=FILE");
    check_refused("mqtts+psk://h:1?cert=a&key=b", "cert: expected only with mqtts://, wss:// or https://");
    check_refused("mqtts+psk://h:1?tls12=yes", "tls12: expected 1, found \"yes\"");
    check_refused("mqtts+psk://h:1?access=full", "access: expected node, or nothing, with mqtts+psk://");
    check_refused("mqtts://h:1?tls12=1", "tls12: expected only with mqtts+psk:// or serial://");
    check_refused("mqtts://h:1?key=a&certs=d&ca=c", "mqtts: expected cert=FILE and key=FILE");
    check_refused("mqtts://h:1?certs=", "certs: expected a folder with NAME.pem and NAME.key, found nothing");
    char text[200] = "mqtts://h:1?";
    for (int i = 0; i <= LISTENER_CERTS_MAX; i++)
        (void)strncat(text, "cert=a&", sizeof text - strlen(text) - 1);
    check_refused(text, "cert: expected at most 16; use certs=FOLDER for more");
}

static void check_range(const struct address_range *range, const char *expected)
{
    struct address_range other;
    CHECK(address_range_parse(&other, expected, strlen(expected)));
    CHECK_INT(range->bits, other.bits);
    CHECK(address_is_in(&range->first, &other));
}

TEST(proxies_are_on_this_machine_unless_others_are_named)
{
    cleanup(listener_uri_done) struct listener_uri here = parsed("mqtt://127.0.0.1:1?access=open&proxy=1");
    CHECK(here.proxy);
    CHECK_INT(here.proxy_from_count, 2);
    check_range(&here.proxy_from[0], "127.0.0.0/8");
    check_range(&here.proxy_from[1], "::1");
    cleanup(listener_uri_done) struct listener_uri there =
        parsed("mqtt://127.0.0.1:1?proxy-from=10.0.0.0/8,192.0.2.1,2001:db8::/32&access=open&proxy=1");
    CHECK_INT(there.proxy_from_count, 3);
    check_range(&there.proxy_from[0], "10.0.0.0/8");
    check_range(&there.proxy_from[1], "192.0.2.1/32");
    check_range(&there.proxy_from[2], "2001:db8::/32");
    cleanup(listener_uri_done) struct listener_uri none = parsed("mqtt://127.0.0.1:1?access=open");
    CHECK(!none.proxy);
    check_refused("mqtt://127.0.0.1:1?access=open&proxy=yes", "proxy: expected 1, found \"yes\"");
    check_refused("mqtt://127.0.0.1:1?access=open&proxy-from=::1", "proxy-from: expected only with proxy=1");
    check_refused("mqtt://h:1?proxy=1&proxy-from=10.0.0.0/8,",
                  "proxy-from: expected ADDRESS or ADDRESS/BITS with commas between them, found \"\"");
    check_refused(
        "mqtt://h:1?proxy=1&proxy-from=lb.example",
        "proxy-from: expected ADDRESS or ADDRESS/BITS with commas between them, found \"lb.example\"");
    check_refused("unix:///x?proxy=1", "proxy: expected only with HOST:PORT");
    check_refused("mqtt://h:1?proxy-from=::,::,::,::,::,::,::,::,::,::,::,::,::,::,::,::,::",
                  "proxy-from: expected at most 16 addresses");
}

TEST(limits_are_numbers_above_zero)
{
    cleanup(listener_uri_done) struct listener_uri uri =
        parsed("mqtt://127.0.0.1:1?access=open&connect-rate=50&connections-per-address=1000000");
    CHECK_INT(uri.connect_rate, 50);
    CHECK_INT(uri.connections_per_address, 1000000);
    static const char *const bad[] = {"", "0", "-1", "+1", "1.5", "1000001", "10000000000000000000", "x"};
    for (size_t i = 0; i < array_size(bad); i++) {
        cleanup_free char *text = str_printf("mqtt://h:1?connect-rate=%s", bad[i]);
        cleanup_free char *said =
            str_printf("connect-rate: expected a number from 1 to 1000000, found \"%s\"", bad[i]);
        check_refused(text, said);
    }
}

TEST(a_passed_socket_has_a_name)
{
    cleanup(listener_uri_done) struct listener_uri uri = parsed("unix:///x?fd=gatehouse.socket");
    CHECK_STR(uri.fd_name, "gatehouse.socket");
    check_refused("unix:///x?fd=", "fd: expected the FileDescriptorName of a socket unit, found \"\"");
    check_refused("unix:///x?fd=a:b", "fd: expected the FileDescriptorName of a socket unit, found \"a:b\"");
}

TEST(a_copy_has_everything_of_its_own)
{
    struct listener_uri uri =
        parsed("wss://h:1/p?cert=a&key=b&ca=c&certs=d&origin=https://e&fd=f&proxy=1&connect-rate=7");
    cleanup(listener_uri_done) struct listener_uri copy;
    listener_uri_copy(&copy, &uri);
    listener_uri_done(&uri);
    CHECK_STR(copy.host, "h");
    CHECK_STR(copy.path, "/p");
    CHECK_STR(copy.certs[0].cert, "a");
    CHECK_STR(copy.certs[0].key, "b");
    CHECK_STR(copy.ca, "c");
    CHECK_STR(copy.folder, "d");
    CHECK_STR(copy.origins, "https://e");
    CHECK_STR(copy.fd_name, "f");
    CHECK_INT(copy.proxy_from_count, 2);
    CHECK_INT(copy.connect_rate, 7);
}
