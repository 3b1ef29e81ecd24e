/* Messages of multicast DNS: what is read is whole, and what is answered can be read. */
#include "net/mdns_service.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_names(struct mdns_message message)
{
    for (struct mdns_item item; mdns_message_next(&message, &item);) {
        size_t at = 0;
        while (item.name.bytes[at])
            at += 1u + item.name.bytes[at];
        if (at + 1 != item.name.len)
            abort();
    }
}

static void check_answer(const struct mdns_writer *writer, size_t max)
{
    struct mdns_message answer;
    if (writer->len > max || !mdns_message_open(&answer, writer->bytes, writer->len))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(size ? size : 1); /* exactly as long */
    if (!bytes)
        return 0;
    memcpy(bytes, data, size);
    static struct mdns_service service;
    struct mdns_addresses addresses = {.in = {{0x0700000a}, {0x0800000a}}, .in_count = 2, .in6_count = 1};
    addresses.in6[0] = (struct in6_addr)IN6ADDR_LOOPBACK_INIT;
    service.port = 8884;
    mdns_service_name(&service, "a", 1);
    mdns_service_text(&service, "0123456789abcdef");
    struct mdns_message message;
    if (mdns_message_open(&message, bytes, size)) {
        struct mdns_wanted wanted;
        struct mdns_writer answer;
        check_names(message);
        mdns_service_asked(&service, &addresses, message, &wanted);
        (void)mdns_service_known(&service, &addresses, message);
        (void)mdns_service_is_disputed(&service, &addresses, &addresses, 1, message);
        (void)mdns_service_must_yield(&service, &addresses, &addresses, 1, message);
        mdns_service_say(&service, &addresses, wanted.multicast, wanted.unicast, false, &answer);
        check_answer(&answer, MDNS_WRITE_MAX);
        mdns_service_say_legacy(&service, &addresses, MDNS_SAYS_ALL, message, &answer);
        check_answer(&answer, MDNS_LEGACY_MAX);
    }
    free(bytes);
    return 0;
}
