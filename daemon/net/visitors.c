#include "net/visitors.h"

#include <string.h>

struct visitor {
    struct map_key key;
    unsigned count;
    bool told; /* that there are too many */
    uint8_t network[8];
};

enum { IPV4_BYTES = 4, IPV6_BYTES = 8 };

/* What of an address is counted; 0: nothing, it is a process on this machine. */
static size_t network_of(const struct address *address)
{
    return address->family == AF_INET ? IPV4_BYTES : address->family == AF_INET6 ? IPV6_BYTES : 0;
}

static struct visitor *find(const struct visitors *visitors, const struct address *address)
{
    const char *bytes = (const char *)&address->in6; /* or the IPv4 one at the same place */
    struct map_key *key = map_get(&visitors->map, bytes, network_of(address));
    return key ? container_of(key, struct visitor, key) : NULL;
}

enum visit visitors_enter(struct visitors *visitors, const struct address *address)
{
    size_t len = network_of(address);
    if (!visitors->max || !len)
        return VISIT_WELCOME;
    struct visitor *visitor = find(visitors, address);
    if (!visitor) {
        visitor = mem_new(struct visitor);
        memcpy(visitor->network, &address->in6, len);
        visitor->key = (struct map_key){.text = (const char *)visitor->network, .len = (uint32_t)len};
        map_put(&visitors->map, &visitor->key);
    }
    if (visitor->count < visitors->max) {
        visitor->count++;
        return VISIT_WELCOME;
    }
    enum visit visit = visitor->told ? VISIT_TOO_MANY : VISIT_FIRST_TOO_MANY;
    visitor->told = true;
    return visit;
}

static void forget(struct visitors *visitors, struct visitor *visitor)
{
    map_remove(&visitors->map, &visitor->key);
    free(visitor);
}

void visitors_leave(struct visitors *visitors, const struct address *address)
{
    struct visitor *visitor = visitors->max && network_of(address) ? find(visitors, address) : NULL;
    if (!visitor)
        return;
    visitor->told = false;
    if (!--visitor->count)
        forget(visitors, visitor);
}

void visitors_done(struct visitors *visitors)
{
    while (visitors->map.count) {
        struct visitor *visitor = NULL;
        map_for_each(i, key, &visitors->map) visitor = container_of(key, struct visitor, key);
        forget(visitors, visitor);
    }
    map_done(&visitors->map);
}
