#include "net/mdns_service.h"

#include "rig/test.h"

#include <arpa/inet.h>
#include <stdio.h>

static const char fingerprint[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

struct scene {
    struct mdns_service service;
    struct mdns_addresses addresses;
    struct mdns_writer out;
    char text[2048];
};

static void scene_open(struct scene *scene)
{
    *scene = (struct scene){.service.port = 8884, .addresses = {.in_count = 2, .in6_count = 1}};
    mdns_service_name(&scene->service, "plant-1", 1);
    mdns_service_text(&scene->service, fingerprint);
    (void)inet_pton(AF_INET, "10.0.0.7", &scene->addresses.in[0]);
    (void)inet_pton(AF_INET, "10.0.0.8", &scene->addresses.in[1]);
    (void)inet_pton(AF_INET6, "2001:db8::7", &scene->addresses.in6[0]);
    mdns_write_head(&scene->out, 0, 0);
}

static void put_name(char *to, size_t size, const struct mdns_name *name)
{
    size_t len = 0;
    for (size_t at = 0; name->bytes[at]; at += 1u + name->bytes[at])
        len += (size_t)snprintf(to + len, size - len, "%.*s.", name->bytes[at],
                                (const char *)name->bytes + at + 1);
}

/* One line an item: "an NAME TYPE ttl", with '!' where the flag is. */
static const char *as_text(struct scene *scene)
{
    static const char sections[][3] = {"qd", "an", "ns", "ar"};
    struct mdns_message message;
    size_t len = 0;
    scene->text[0] = '\0';
    CHECK(mdns_message_open(&message, scene->out.bytes, scene->out.len));
    for (struct mdns_item item; mdns_message_next(&message, &item);) {
        char name[300] = "";
        put_name(name, sizeof name, &item.name);
        len += (size_t)snprintf(scene->text + len, sizeof scene->text - len, "%s %s %u%s %u\n",
                                sections[item.section], name, item.type, item.flag ? "!" : "", item.ttl_s);
    }
    return scene->text;
}

static struct mdns_message written(const struct scene *scene)
{
    struct mdns_message message;
    CHECK(mdns_message_open(&message, scene->out.bytes, scene->out.len));
    return message;
}

static void ask(struct scene *scene, const char *name, uint16_t type, bool alone)
{
    const struct mdns_name asked = mdns_name_of(name);
    CHECK(mdns_write_question(&scene->out, &asked, type, (uint16_t)(MDNS_IN | (alone ? MDNS_FLAG : 0))));
}

static struct mdns_wanted wanted(const struct scene *scene)
{
    struct mdns_wanted wanted;
    mdns_service_asked(&scene->service, &scene->addresses, written(scene), &wanted);
    return wanted;
}

#define TYPE     "_gatehouse._tcp.local"
#define HOST     "gatehouse-plant-1.local"
#define INSTANCE "Gatehouse on plant-1._gatehouse._tcp.local"

TEST(who_looks_for_gateways_is_told_where_this_one_is)
{
    struct scene scene;
    scene_open(&scene);
    mdns_service_say(&scene.service, &scene.addresses, MDNS_SAYS_POINTER,
                     mdns_service_next(MDNS_SAYS_POINTER), false, &scene.out);
    CHECK_STR(as_text(&scene), "an _gatehouse._tcp.local. 12 4500\n"
                               "ar gatehouse-plant-1.local. 1! 120\n"
                               "ar gatehouse-plant-1.local. 1! 120\n"
                               "ar Gatehouse on plant-1._gatehouse._tcp.local. 16! 4500\n"
                               "ar gatehouse-plant-1.local. 28! 120\n"
                               "ar Gatehouse on plant-1._gatehouse._tcp.local. 33! 120\n");
}

TEST(a_goodbye_has_no_lifetime)
{
    struct scene scene;
    scene_open(&scene);
    mdns_service_say(&scene.service, &scene.addresses, MDNS_SAYS_POINTER | MDNS_SAYS_PLACE, 0, true,
                     &scene.out);
    CHECK_STR(as_text(&scene), "an _gatehouse._tcp.local. 12 0\n"
                               "an Gatehouse on plant-1._gatehouse._tcp.local. 33! 0\n");
}

TEST(every_name_is_asked_for_by_its_own_types)
{
    static const struct {
        const char *name;
        uint16_t type;
        unsigned bits;
    } cases[] = {
        {"_services._dns-sd._udp.local", MDNS_PTR, MDNS_SAYS_TYPES},
        {TYPE, MDNS_PTR, MDNS_SAYS_POINTER},
        {TYPE, MDNS_ANY, MDNS_SAYS_POINTER},
        {"_GATEhouse._TCP.Local", MDNS_PTR, MDNS_SAYS_POINTER},
        {TYPE, MDNS_SRV, 0},
        {"_gatehouse._udp.local", MDNS_PTR, 0},
        {INSTANCE, MDNS_SRV, MDNS_SAYS_PLACE},
        {INSTANCE, MDNS_TXT, MDNS_SAYS_TEXT},
        {INSTANCE, MDNS_ANY, MDNS_SAYS_PLACE | MDNS_SAYS_TEXT},
        {HOST, MDNS_A, MDNS_SAYS_A},
        {HOST, MDNS_AAAA, MDNS_SAYS_AAAA},
        {HOST, MDNS_ANY, MDNS_SAYS_A | MDNS_SAYS_AAAA},
        {"plant-1.local", MDNS_A, 0},
    };
    for (size_t i = 0; i < array_size(cases); i++)
        for (int alone = 0; alone < 2; alone++) {
            struct scene scene;
            scene_open(&scene);
            ask(&scene, cases[i].name, cases[i].type, alone);
            CHECK_INT(wanted(&scene).multicast, alone ? 0 : cases[i].bits);
            CHECK_INT(wanted(&scene).unicast, alone ? cases[i].bits : 0);
        }
}

static void know(struct scene *scene, const char *instance, uint32_t ttl_s)
{
    const struct mdns_name name = mdns_name_of(TYPE), data = mdns_name_of(instance);
    CHECK(mdns_write_record(&scene->out, MDNS_ANSWER, &name, MDNS_PTR, MDNS_IN, ttl_s, data.bytes, data.len));
}

TEST(what_the_asker_knows_is_not_said_again)
{
    struct scene scene;
    scene_open(&scene);
    ask(&scene, TYPE, MDNS_PTR, false);
    know(&scene, "Gatehouse on plant-2._gatehouse._tcp.local", 4500);
    CHECK_INT(wanted(&scene).multicast, MDNS_SAYS_POINTER);
    know(&scene, INSTANCE, 2249); /* it forgets it soon */
    CHECK_INT(wanted(&scene).multicast, MDNS_SAYS_POINTER);
    know(&scene, INSTANCE, 2250);
    CHECK_INT(wanted(&scene).multicast, 0);
}

TEST(of_several_addresses_all_must_be_known)
{
    struct scene scene;
    const struct mdns_name host = mdns_name_of(HOST);
    scene_open(&scene);
    ask(&scene, HOST, MDNS_A, true);
    CHECK(mdns_write_record(&scene.out, MDNS_ANSWER, &host, MDNS_A, MDNS_IN, 120, &scene.addresses.in[1], 4));
    CHECK_INT(wanted(&scene).unicast, MDNS_SAYS_A);
    CHECK(mdns_write_record(&scene.out, MDNS_ANSWER, &host, MDNS_A, MDNS_IN, 120, &scene.addresses.in[0], 4));
    CHECK_INT(wanted(&scene).unicast, 0);
}

/* A response with one record of our host's name. */
static bool disputed(const char *name, uint16_t type, const void *data, size_t len, uint32_t ttl_s)
{
    struct scene scene;
    struct mdns_addresses machine = {.in_count = 1};
    const struct mdns_name owner = mdns_name_of(name);
    scene_open(&scene);
    (void)inet_pton(AF_INET, "192.0.2.9", &machine.in[0]);
    mdns_write_head(&scene.out, 0, MDNS_RESPONSE);
    CHECK(mdns_write_record(&scene.out, MDNS_ANSWER, &owner, type, MDNS_IN | MDNS_FLAG, ttl_s, data, len));
    return mdns_service_is_disputed(&scene.service, &scene.addresses, &machine, 1, written(&scene));
}

TEST(somebody_else_with_our_name_disputes_it)
{
    static const uint8_t other[] = {10, 0, 0, 99}, ours[] = {10, 0, 0, 8}, elsewhere[] = {192, 0, 2, 9};
    CHECK(disputed(HOST, MDNS_A, other, 4, 120));
    CHECK(!disputed(HOST, MDNS_A, other, 4, 0)); /* he goes */
    CHECK(!disputed(HOST, MDNS_A, ours, 4, 120));
    CHECK(!disputed(HOST, MDNS_A, elsewhere, 4, 120)); /* this machine, on another interface */
    CHECK(!disputed("gatehouse-plant-2.local", MDNS_A, other, 4, 120));
    CHECK(disputed(INSTANCE, MDNS_TXT, "\0", 1, 4500));
    CHECK(!disputed(INSTANCE, MDNS_PTR, "\0", 1, 4500));
}

static bool must_yield(uint16_t port, const char *host)
{
    struct scene scene, other;
    scene_open(&scene);
    scene_open(&other);
    other.service.port = port;
    other.addresses.in6_count = 0;
    other.addresses.in_count = 1;
    (void)inet_pton(AF_INET, host, &other.addresses.in[0]);
    mdns_service_probe(&other.service, &other.addresses, &scene.out);
    return mdns_service_must_yield(&scene.service, &scene.addresses, &scene.addresses, 1, written(&scene));
}

TEST(of_two_who_want_a_name_the_later_record_gets_it)
{
    CHECK(must_yield(8885, "10.0.0.1"));
    CHECK(must_yield(8884, "10.0.0.99"));
    CHECK(!must_yield(8884, "10.0.0.1"));
    CHECK(!must_yield(8885, "10.0.0.7")); /* this machine */
}

TEST(an_old_asker_gets_his_question_back_and_short_lifetimes)
{
    struct scene scene, asker;
    scene_open(&scene);
    scene_open(&asker);
    mdns_write_head(&asker.out, 0x1234, 0);
    ask(&asker, INSTANCE, MDNS_SRV, false);
    mdns_service_say_legacy(&scene.service, &scene.addresses, MDNS_SAYS_PLACE, written(&asker), &scene.out);
    CHECK_INT(written(&scene).id, 0x1234);
    CHECK(scene.out.len <= MDNS_LEGACY_MAX);
    CHECK_STR(as_text(&scene), "qd Gatehouse on plant-1._gatehouse._tcp.local. 33 0\n"
                               "an Gatehouse on plant-1._gatehouse._tcp.local. 33 10\n"
                               "ar gatehouse-plant-1.local. 1 10\n"
                               "ar gatehouse-plant-1.local. 1 10\n"
                               "ar gatehouse-plant-1.local. 28 10\n");
}

TEST(names_are_cut_between_characters_and_numbered)
{
    struct scene scene;
    scene_open(&scene);
    mdns_service_name(&scene.service, "a.b c", 3);
    mdns_service_probe(&scene.service, &scene.addresses, &scene.out);
    CHECK(strstr(as_text(&scene), "qd Gatehouse on a.b c (3)._gatehouse._tcp.local. 255! 0\n"));
    CHECK(strstr(scene.text, "qd gatehouse-a-b-c-3.local. 255! 0\n"));
    mdns_service_name(&scene.service, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\xc3\xb6", 1);
    CHECK_INT(scene.service.instance.bytes[0], 13 + 36);
    mdns_service_text(&scene.service, NULL);
    CHECK_MEM(scene.service.text, scene.service.text_len, "\3v=1", 4);
}

/* ---- bytes --------------------------------------------------------------------------------------------------------------- */

#define HEADER(qd, an) "\0\0\0\0\0" qd "\0" an "\0\0\0\0"

static bool can_be_read(const char *bytes, size_t len)
{
    struct mdns_message message;
    uint8_t *exactly = malloc(len);
    memcpy(exactly, bytes, len);
    bool good = mdns_message_open(&message, exactly, len);
    free(exactly);
    return good;
}

#define READ(bytes) can_be_read(bytes, sizeof(bytes) - 1)

TEST(names_may_point_to_the_front_and_nowhere_else)
{
    CHECK(READ(HEADER("\2", "\0") "\1a\0\0\1\0\1\1b\xc0\x0c\0\1\0\1"));
    CHECK(!READ(HEADER("\1", "\0") "\xc0\x0c\0\1\0\1"));                 /* to itself */
    CHECK(!READ(HEADER("\2", "\0") "\1a\xc0\x13\0\1\0\1\1b\0\0\1\0\1")); /* forward */
    CHECK(!READ(HEADER("\1", "\0") "\xc0\x02\0\1\0\1"));                 /* into the header */
    CHECK(!READ(HEADER("\1", "\0") "\x41z\0\0\1\0\1")); /* a kind of label there is none of */
}

/* A text with a root in it, and pointers each to the one before; and a name that points to the last of them. */
static bool is_read_through(unsigned pointers)
{
    enum { ROOT = 12 + 11 };
    uint8_t bytes[1200] = {[7] = 2, [14] = MDNS_TXT, [16] = 1};
    size_t at = ROOT + 1;
    for (unsigned to = ROOT; pointers--; to = (unsigned)at, at += 2) {
        bytes[at] = (uint8_t)(0xc0 | to >> 8);
        bytes[at + 1] = (uint8_t)to;
        if (!pointers) { /* the second record's name; its text is empty */
            bytes[ROOT - 2] = (uint8_t)((at - ROOT) >> 8);
            bytes[ROOT - 1] = (uint8_t)(at - ROOT);
            bytes[at + 3] = MDNS_TXT;
            bytes[at + 5] = 1;
        }
    }
    return can_be_read((const char *)bytes, at + 10);
}

TEST(a_name_is_not_followed_through_more_pointers_than_it_may_have_labels)
{
    CHECK(is_read_through(1));
    CHECK(is_read_through(127));
    CHECK(!is_read_through(128));
    CHECK(!is_read_through(500));
}

TEST(what_is_cut_off_is_no_message)
{
    static const char whole[] =
        HEADER("\1", "\1") "\1a\0\0\1\0\1"
                           "\xc0\x0c\0\x21\0\1\0\0\0\1\0\x0a\0\0\0\0\x22\xb4\1b\xc0\x0c";
    CHECK(can_be_read(whole, sizeof whole - 1));
    for (size_t len = 0; len < sizeof whole - 1; len++)
        CHECK(!can_be_read(whole, len));
}

TEST(other_operations_and_errors_are_no_message)
{
    CHECK(READ("\0\0\0\0\0\0\0\0\0\0\0\0"));
    CHECK(!READ("\0\0\x28\0\0\0\0\0\0\0\0\0"));
    CHECK(!READ("\0\0\0\3\0\0\0\0\0\0\0\0"));
}

TEST(a_name_has_255_bytes)
{
    char label[MDNS_LABEL_MAX];
    memset(label, 'a', sizeof label);
    struct mdns_name name = {0};
    CHECK(!mdns_name_add(&name, label, 0));
    for (int i = 0; i < 3; i++)
        CHECK(mdns_name_add(&name, label, sizeof label));
    CHECK(!mdns_name_add(&name, label, 62));
    CHECK(mdns_name_add(&name, label, 61));
    CHECK_INT(name.len, MDNS_NAME_MAX);
}
