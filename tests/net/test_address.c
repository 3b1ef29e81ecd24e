#include "net/address.h"

#include "rig/test.h"

#include <arpa/inet.h>

static struct address address_at(const char *text)
{
    struct address_range range;
    CHECK(address_range_parse(&range, text, strlen(text)));
    return range.first;
}

static const struct {
    const char *range, *address;
    bool in;
} ranges[] = {
    {"127.0.0.0/8", "127.255.255.255", true},
    {"127.0.0.0/8", "128.0.0.0", false},
    {"10.1.2.3", "10.1.2.3", true},
    {"10.1.2.3", "10.1.2.2", false},
    {"10.1.2.3/32", "10.1.2.3", true},
    {"10.1.2.0/23", "10.1.3.255", true},
    {"10.1.2.0/23", "10.1.4.0", false},
    {"10.1.2.128/25", "10.1.2.127", false},
    {"0.0.0.0/0", "203.0.113.9", true},
    {"0.0.0.0/0", "::1", false},
    {"::/0", "fe80::1", true},
    {"::/0", "10.0.0.1", false},
    {"::1", "::1", true},
    {"::1/128", "::2", false},
    {"2001:db8::/33", "2001:db8:7fff::1", true},
    {"2001:db8::/33", "2001:db8:8000::1", false},
};

TEST(a_range_is_all_addresses_with_the_same_first_bits)
{
    for (size_t i = 0; i < array_size(ranges); i++) {
        struct address_range range;
        CHECK(address_range_parse(&range, ranges[i].range, strlen(ranges[i].range)));
        struct address address = address_at(ranges[i].address);
        if (address_is_in(&address, &range) != ranges[i].in)
            FAIL("%s in %s", ranges[i].address, ranges[i].range);
    }
}

TEST(what_is_no_range_is_refused)
{
    static const char *const bad[] = {"",
                                      "/8",
                                      "10.0.0.0/",
                                      "10.0.0.0/33",
                                      "10.0.0/8",
                                      "10.0.0.0/-1",
                                      "10.0.0.0/4294967304",
                                      "::1/129",
                                      "localhost",
                                      "10.0.0.0/8 ",
                                      " 10.0.0.0",
                                      "10.0.0.0/8/8",
                                      "fe80::1%lo",
                                      "10.0.0.0000000000000000000000000000000000000000000000/8"};
    for (size_t i = 0; i < array_size(bad); i++) {
        struct address_range range = {.bits = 42};
        if (address_range_parse(&range, bad[i], strlen(bad[i])))
            FAIL("%s is taken", bad[i]);
        CHECK_INT(range.bits, 42);
    }
    struct address_range range;
    CHECK(address_range_parse(&range, "10.0.0.0/16", 10)); /* the length counts: /1 */
    CHECK_INT(range.bits, 1);
}

TEST(an_ipv4_address_that_came_by_ipv6_is_an_ipv4_address)
{
    struct sockaddr_storage from = {.ss_family = AF_INET6};
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&from;
    in6->sin6_port = htons(77);
    CHECK_INT(inet_pton(AF_INET6, "::ffff:192.0.2.7", &in6->sin6_addr), 1);
    struct address address;
    CHECK(address_of_sockaddr(&address, &from));
    char text[ADDRESS_TEXT_BYTES];
    address_text(&address, text);
    CHECK_STR(text, "192.0.2.7:77");
    from.ss_family = AF_UNIX;
    CHECK(!address_of_sockaddr(&address, &from));
}
