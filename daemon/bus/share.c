#include "bus/share.h"

#include <assert.h>
#include <string.h>

static const char prefix[] = "$share/";

bool share_split(const char *filter, size_t len, struct share_text *name, struct share_text *inner)
{
    size_t begin = sizeof prefix - 1;
    if (len <= begin || memcmp(filter, prefix, begin) != 0)
        return false;
    const char *slash = memchr(filter + begin, '/', len - begin);
    if (!slash || slash == filter + begin || slash + 1 == filter + len)
        return false;
    *name = (struct share_text){filter + begin, (size_t)(slash - filter) - begin};
    *inner = (struct share_text){slash + 1, (size_t)(filter + len - slash) - 1};
    return true;
}

struct share *share_join(struct trie_node *node, struct list *shares, const char *name, size_t name_len)
{
    list_for_each (link, shares) {
        struct share *share = list_entry(link, struct share, link);
        if (share->name_len == name_len && memcmp(share->name, name, name_len) == 0)
            return bus_share_ref(share);
    }
    struct share *share = mem_new_bytes(sizeof *share + name_len);
    share->refs = 1;
    share->node = node;
    list_init(&share->members);
    share->name_len = (uint32_t)name_len;
    memcpy(share->name, name, name_len);
    list_append(shares, &share->link);
    return share;
}

void share_leave(struct share *share, struct subscription *member)
{
    list_remove(&member->link);
    if (list_is_empty(&share->members)) {
        list_remove(&share->link);
        share->node = NULL;
    }
}

struct share *bus_share_ref(struct share *share)
{
    if (share)
        share->refs++;
    return share;
}

struct share *bus_share_unref(struct share *share)
{
    if (share && --share->refs == 0)
        free(share);
    return NULL;
}

static enum bus_readiness readiness_of(const struct subscription *member, const struct msg *msg)
{
    const struct subscriber *subscriber = member->subscriber;
    return subscriber->readiness ? subscriber->readiness(subscriber, msg) : BUS_READY;
}

struct subscription *share_choose(struct share *share, const struct msg *msg, const struct subscriber *except,
                                  enum bus_readiness wanted)
{
    assert(wanted > BUS_FORBIDDEN);
    struct subscription *best = NULL;
    enum bus_readiness how = BUS_AWAY;
    list_for_each (link, &share->members) {
        struct subscription *member = list_entry(link, struct subscription, link);
        if (member->subscriber == except)
            continue;
        enum bus_readiness readiness = readiness_of(member, msg);
        if (readiness < wanted || (best && readiness <= how))
            continue;
        best = member;
        how = readiness;
        if (how == BUS_READY)
            break;
    }
    if (best) { /* its turn is over */
        list_remove(&best->link);
        list_append(&share->members, &best->link);
    }
    return best;
}
