#include "services/shadow/shadow_list.h"

#include "base/json_write.h"
#include "bus/bus.h"
#include "bus/topics.h"
#include "services/shadow/shadow_store.h"
#include "services/shadow/shadow_twin.h"

#include <string.h>

enum {
    LIMIT = 100,
    LIMIT_MAX = 1000,
    PAGE = 25,      /* [AWS IoT] */
    PAGE_MAX = 100, /* [AWS IoT] */
    ASKED_AT_ONCE = 16,
    REQUEST_MAX = 1024,
};

struct shadow_list {
    struct subscriber subscriber;
    struct subscription subscription;
    struct bus *bus;
    struct store *store;
    unsigned asked;
};

struct asked {
    struct shadow_names names;
    struct shadow_list *list;
    struct msg *msg;
    bool of_thing; /* AWS IoT's question, about one thing */
};

/* ---- pages of one thing ------------------------------------------------------------------------------------------- */

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Where a page ends: its last name, in base64, so that nobody takes it for something to build himself. */
static const char *token_of(struct arena *arena, const char *name)
{
    size_t len = strlen(name);
    char *token = arena_alloc(arena, (len + 2) / 3 * 4 + 1), *to = token;
    for (size_t i = 0; i < len; i += 3) {
        uint32_t three = 0;
        for (size_t k = 0; k < 3; k++)
            three = three << 8 | (i + k < len ? (uint8_t)name[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            *to++ = i + k <= len ? base64[three >> (18 - 6 * k) & 63] : '=';
    }
    *to = '\0';
    return token;
}

/* The name, or NULL. */
static const char *name_of_token(struct arena *arena, const struct json *token)
{
    size_t len = json_is(token, JSON_STRING) ? token->len : 0;
    while (len && token->text[len - 1] == '=')
        len--;
    char *name = arena_alloc(arena, len + 1), *to = name;
    uint32_t bits = 0;
    unsigned count = 0;
    for (size_t i = 0; i < len; i++) {
        const char *digit = token->text[i] ? strchr(base64, token->text[i]) : NULL;
        if (!digit)
            return NULL;
        bits = bits << 6 | (uint32_t)(digit - base64);
        count += 6;
        if (count >= 8) {
            count -= 8;
            *to++ = (char)(bits >> count & 0xFF);
        }
    }
    *to = '\0';
    return shadow_name_is_valid(name, (size_t)(to - name), true) ? name : NULL;
}

static void put_page(struct json_writer *w, const struct shadow_names *names, int64_t now_s)
{
    bool more = names->more;
    const char *last = "";
    json_begin_object(w);
    json_key(w, "results");
    json_begin_array(w);
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->rows[i].thing, names->thing) != 0) {
            more = false; /* there the next thing begins */
            break;
        }
        last = names->rows[i].name;
        json_put_string(w, last);
    }
    json_end_array(w);
    if (more) {
        json_key(w, "nextToken");
        json_put_string(w, token_of(w->arena, last));
    }
    json_key(w, "timestamp");
    json_put_int(w, now_s);
    json_end_object(w);
}

/* ---- answering ---------------------------------------------------------------------------------------------------- */

static void refuse(struct shadow_list *list, const struct msg *msg, int code, const char *message)
{
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "code");
    json_put_int(&w, code);
    json_key(&w, "message");
    json_put_string(&w, message);
    json_end_object(&w);
    bus_reply(list->bus, msg, json_writer_text(&w, NULL));
    arena_done(&arena);
}

static void put_names(struct json_writer *w, const struct shadow_names *names)
{
    json_begin_object(w);
    json_key(w, "shadows");
    json_begin_array(w);
    for (size_t i = 0; i < names->count; i++) {
        const struct shadow_name *row = &names->rows[i];
        json_begin_object(w);
        json_key(w, "thing");
        json_put_string(w, row->thing);
        json_key(w, "name");
        json_put_string(w, *row->name ? row->name : NULL);
        json_key(w, "version");
        json_put_uint(w, row->version);
        json_end_object(w);
    }
    json_end_array(w);
    json_key(w, "more");
    json_put_bool(w, names->more);
    json_end_object(w);
}

static void on_read(struct work *work)
{
    struct asked *asked = container_of(container_of(work, struct shadow_names, work), struct asked, names);
    struct shadow_list *list = asked->list;
    if (work->r < 0) {
        refuse(list, asked->msg, 500, strerror(-work->r));
    } else {
        struct arena arena = {0};
        struct json_writer w;
        json_writer_init(&w, &arena);
        if (asked->of_thing)
            put_page(&w, &asked->names, loop_wall(bus_loop(list->bus)) / 1000);
        else
            put_names(&w, &asked->names);
        bus_reply(list->bus, asked->msg, json_writer_text(&w, NULL));
        arena_done(&arena);
    }
    list->asked--;
    (void)msg_unref(asked->msg);
    shadow_names_done(&asked->names);
    free(asked);
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

struct list_request {
    const char *thing, *name; /* those behind it */
    int64_t limit;
    bool of_thing;
};

/* What is wrong with it; NULL: nothing. */
static const char *read_page_request(struct list_request *ret, struct arena *arena,
                                     const struct json *request)
{
    const struct json *thing = json_get(request, "thing"), *token = json_get(request, "nextToken"),
                      *size = json_get(request, "pageSize");
    *ret = (struct list_request){.name = "", .limit = PAGE, .of_thing = true};
    if (!json_text(thing, arena, &ret->thing) || !shadow_thing_is_valid(thing->text, thing->len))
        return "Invalid thing name";
    if (size && !json_int(size, 1, PAGE_MAX, &ret->limit))
        return "Invalid pageSize";
    if (token && !(ret->name = name_of_token(arena, token)))
        return "Invalid nextToken";
    return NULL;
}

static const char *read_request(struct list_request *ret, struct arena *arena, const struct msg *msg)
{
    static const char expected[] =
        "expected {\"after\":{\"thing\":\"…\",\"name\":\"…\"},\"limit\":1 to 1000} or {\"thing\":\"…\"}";
    struct json *request = NULL;
    *ret = (struct list_request){.thing = "", .name = "", .limit = LIMIT};
    if (msg->payload_len == 0)
        return NULL;
    if (msg->payload_len > REQUEST_MAX ||
        json_parse(&request, arena, (const char *)msg->payload, msg->payload_len, NULL) != 0 ||
        !json_is(request, JSON_OBJECT))
        return expected;
    if (json_get(request, "thing"))
        return read_page_request(ret, arena, request);
    const struct json *after = json_get(request, "after"), *number = json_get(request, "limit");
    const struct json *after_name = json_get(after, "name");
    if (after && !json_text(json_get(after, "thing"), arena, &ret->thing))
        return expected;
    if (after_name && after_name->type != JSON_NULL && !json_text(after_name, arena, &ret->name))
        return expected;
    return number && !json_int(number, 1, LIMIT_MAX, &ret->limit) ? expected : NULL;
}

static void on_request(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct shadow_list *list = container_of(subscriber, struct shadow_list, subscriber);
    struct arena arena = {0};
    struct list_request request;
    const char *wrong = read_request(&request, &arena, msg);
    if (wrong) {
        refuse(list, msg, 400, wrong);
    } else if (list->asked == ASKED_AT_ONCE) {
        refuse(list, msg, 429, "too many requests at once");
    } else {
        struct asked *asked = mem_new(struct asked);
        asked->list = list;
        asked->msg = msg_ref(msg);
        asked->of_thing = request.of_thing;
        shadow_names_init(&asked->names, request.thing, request.name, (size_t)request.limit);
        asked->names.work = (struct work){.run = shadow_store_names, .done = on_read};
        list->asked++;
        store_submit(list->store, &asked->names.work);
    }
    arena_done(&arena);
}

struct shadow_list *shadow_list_new(struct bus *bus, struct store *store)
{
    struct shadow_list *list = mem_new(struct shadow_list);
    list->bus = bus;
    list->store = store;
    list->subscriber.deliver = on_request;
    bus_subscribe_to(bus, &list->subscription, &list->subscriber, TOPIC_CTL_SHADOW_LIST);
    return list;
}

struct shadow_list *shadow_list_free(struct shadow_list *list)
{
    if (!list)
        return NULL;
    bus_unsubscribe(list->bus, &list->subscription);
    free(list);
    return NULL;
}
