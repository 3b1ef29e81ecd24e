/* An intrusive doubly linked list: the link is a member of what is listed, so adding cannot fail and nothing leaks.
 * A link that is in no list points to itself or is zero; list_remove() accepts both. */
#pragma once

#include "base/base.h"

struct list {
    struct list *prev, *next;
};

static inline void list_init(struct list *list)
{
    list->prev = list->next = list;
}

static inline bool list_is_empty(const struct list *list)
{
    return list->next == list || !list->next;
}

/* Is this link in a list? */
static inline bool list_is_linked(const struct list *link)
{
    return link->next && link->next != link;
}

static inline void list_insert_before(struct list *position, struct list *link)
{
    link->prev = position->prev;
    link->next = position;
    position->prev->next = link;
    position->prev = link;
}

static inline void list_append(struct list *list, struct list *link)
{
    list_insert_before(list, link);
}

static inline void list_prepend(struct list *list, struct list *link)
{
    list_insert_before(list->next, link);
}

static inline void list_remove(struct list *link)
{
    if (!link->next)
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* The first link, taken out; NULL when the list is empty. */
static inline struct list *list_pop(struct list *list)
{
    if (list_is_empty(list))
        return NULL;
    struct list *link = list->next;
    list_remove(link);
    return link;
}

/* Moves everything from one list to the end of another. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

/* for each link; the body may remove the current one only with _safe. */
#define list_for_each(at, head) for (struct list *at = (head)->next; at != (head); at = at->next)
#define list_for_each_safe(at, head)                                                                         \
    for (struct list *at = (head)->next, *at##_next = at->next; at != (head); at = at##_next, at##_next = at->next)

#define list_entry(link, type, member) container_of(link, type, member)
