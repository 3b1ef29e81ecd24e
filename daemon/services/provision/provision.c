/* A request's life:
 *
 *      bus ─▶ door ─▶ rate? room? payload? ─▶ verb ─▶ (hook) ─▶ registry, tokens ─▶ disk ─▶ …/accepted, PUBACK
 *                          └─▶ …/rejected, PUBACK ◀────┴──────────┘
 */
#include "services/provision/provisioning.h"

#include "base/log.h"
#include "base/topic.h"
#include "bus/topics.h"

#include <errno.h>
#include <string.h>

/* ---- the end of a request --------------------------------------------------------------------------------------------- */

void provision_request_end(struct provision_request *request, int r)
{
    struct provision *provision = request->provision;
    provision_hook_forget(request);
    if (request->token)
        request->token->busy = false;
    list_remove(&request->link);
    provision->request_count--;
    receipt_settle(request->receipt, r);
    (void)msg_unref(request->accepted);
    (void)msg_unref(request->msg);
    free(request->template);
    free(request->refusal);
    free(request->parameters);
    free(request->overrides);
    free(request);
}

static void say_rejected(const struct provision_request *request, int status, const char *code,
                         const char *text)
{
    struct provision *provision = request->provision;
    struct arena arena = {0};
    struct json *document = json_new(&arena, JSON_OBJECT);
    json_append(document, "statusCode", 10, json_new_int(&arena, status));
    (void)provision_put_text(&arena, document, "errorCode", code);
    (void)provision_put_text(&arena, document, "errorMessage", text);
    cleanup(msg_unref_p) struct msg *answer = provision_answer(request, "rejected", &arena, document);
    if (answer)
        bus_publish(provision->bus, answer, NULL);
    provision->counters.rejected++;
    const char *who = publisher_name(request->msg->from);
    log_info("provisioning: %s of %s is refused: %s: %s", request->msg->topic, who, code, text);
    audit_refused(provision->options.audit, who, "refused/provision", request->msg->topic, text);
    arena_done(&arena);
}

/* Everything is on disk, or will not be. */
static void on_kept(struct receipt *receipt, int r)
{
    struct provision_request *request = container_of(receipt, struct provision_request, kept);
    if (request->refusal)
        say_rejected(request, request->status, request->code, request->refusal);
    else if (r == 0 && request->accepted)
        bus_publish(request->provision->bus, request->accepted, NULL);
    else
        say_rejected(request, 500, "InternalError", "It could not be stored.");
    if (r != 0 && request->token && request->is_first)
        provision_token_undo(request->provision,
                             request->verb == PROVISION_REGISTER ? request->token : steal(request->token));
    else if (r == 0 && request->accepted && request->is_first)
        ++*(request->verb == PROVISION_REGISTER ? &request->provision->counters.provisioned
                                                : &request->provision->counters.created);
    provision_request_end(request, r);
}

void provision_finish(struct provision_request *request)
{
    receipt_settle(&request->kept, 0);
}

void provision_reject(struct provision_request *request, const struct provision_fault *fault)
{
    request->status = fault->status;
    request->code = fault->code;
    request->refusal = str_copy(fault->text);
    provision_finish(request);
}

/* ---- the door ----------------------------------------------------------------------------------------------------------- */

static bool is_within_rate(struct provision *provision, enum provision_verb verb)
{
    struct provision_rate *rate = &provision->rates[verb];
    int64_t now = loop_now(provision->loop);
    double burst = provision->options.rate_burst;
    rate->left += (double)(now - rate->at) * provision->options.rate / 1000;
    rate->left = rate->left < burst ? rate->left : burst;
    rate->at = now;
    if (rate->left < 1)
        return false;
    rate->left -= 1;
    return true;
}

static bool format_of(const struct topic_piece *piece, enum provision_format *ret)
{
    bool is_json = piece->len == 4 && memcmp(piece->text, "json", 4) == 0;
    *ret = is_json ? PROVISION_JSON : PROVISION_CBOR;
    return is_json || (piece->len == 4 && memcmp(piece->text, "cbor", 4) == 0);
}

static const struct provision_fault throttled = {429, "Throttled", "Too many requests: try again later."},
                                    too_large = {400, "InvalidPayload", "The payload has more than 16 KiB."},
                                    no_object = {400, "InvalidPayload", "The payload is not an object."};

static void on_request(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery;
    static void (*const verbs[])(struct provision_request *, struct arena *, const struct json *) = {
        [PROVISION_CREATE] = provision_create,
        [PROVISION_FROM_CSR] = provision_from_csr,
        [PROVISION_REGISTER] = provision_register,
    };
    struct provision_door *door = container_of(subscriber, struct provision_door, subscriber);
    struct provision *provision = door->provision;
    struct topic_piece pieces[2] = {{"", 0}, {"", 0}};
    enum provision_format format;
    int n = topic_pieces(door->filter, msg->topic, msg->topic_len, pieces, 2);
    if (n < 1 || msg->is_will || !msg->origin || !format_of(&pieces[n - 1], &format))
        return; /* no request: nobody could be answered, or nobody waits */

    struct provision_request *request = mem_new(struct provision_request);
    *request = (struct provision_request){.provision = provision,
                                          .verb = door->verb,
                                          .format = format,
                                          .msg = msg_ref(msg),
                                          .receipt = receipt};
    receipt_hold(receipt);
    receipt_init(&request->kept, on_kept);
    receipt_hold(&request->kept);
    list_append(&provision->requests, &request->link);
    provision->request_count++;

    const struct provision_fault *fault = NULL;
    struct arena arena = {0};
    struct json *payload = NULL;
    if (provision->request_count > provision->options.requests_max || !is_within_rate(provision, door->verb))
        fault = &throttled;
    else if (msg->payload_len > PROVISION_REQUEST_MAX)
        fault = &too_large;
    else if (door->verb != PROVISION_CREATE && !(payload = provision_payload(&arena, request)))
        fault = &no_object;
    if (!fault && n == 2)
        request->template = str_copy_n(pieces[0].text, pieces[0].len);
    if (fault)
        provision_reject(request, fault);
    else
        verbs[door->verb](request, &arena, payload);
    arena_done(&arena);
}

/* ---- wiring --------------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *filter;
    enum provision_verb verb;
} doors[PROVISION_VERBS] = {
    {TOPIC_CERTIFICATE_CREATE_FILTER, PROVISION_CREATE},
    {TOPIC_CERTIFICATE_FROM_CSR_FILTER, PROVISION_FROM_CSR},
    {TOPIC_PROVISION_FILTER, PROVISION_REGISTER},
};

static void set_default(unsigned *option, unsigned value)
{
    if (!*option)
        *option = value;
}

int provision_new(struct provision **ret, struct bus *bus, struct store *store, struct registry *registry,
                  const struct provision_options *options)
{
    struct provision_load load = {0};
    int r = store_run_now(store, provision_store_load, &load);
    struct provision *provision = mem_new(struct provision);
    provision->bus = bus;
    provision->loop = bus_loop(bus);
    provision->store = store;
    provision->registry = registry;
    provision->options = *options;
    set_default(&provision->options.requests_max, 64);
    set_default(&provision->options.tokens_max, 4096);
    set_default(&provision->options.rate, 10);
    set_default(&provision->options.rate_burst, 50);
    for (size_t i = 0; i < PROVISION_VERBS; i++)
        provision->rates[i].left = provision->options.rate_burst;
    list_init(&provision->requests);
    list_init(&provision->ages);
    list_init(&provision->arrivals);
    list_init(&provision->pending);
    provision->registration_code = load.code;
    provision_templates_load(provision, load.templates);
    provision_tokens_load(provision, load.tokens);
    for (size_t i = 0; i < PROVISION_VERBS; i++) {
        struct provision_door *door = &provision->doors[i];
        *door = (struct provision_door){.subscriber = {.deliver = on_request},
                                        .provision = provision,
                                        .filter = doors[i].filter,
                                        .verb = doors[i].verb};
        bus_subscribe_to(bus, &door->subscription, &door->subscriber, door->filter);
    }
    provision_hook_init(provision);
    provision_jitp_init(provision);
    provision_template_commands(provision);
    provision_ca_commands(provision);
    if (r < 0) {
        log_error("state.db: provisioning: %s", strerror(-r));
        (void)provision_free(provision);
        return r;
    }
    *ret = provision;
    return 0;
}

struct provision *provision_free(struct provision *provision)
{
    if (!provision)
        return NULL;
    for (size_t i = 0; i < PROVISION_VERBS; i++)
        bus_unsubscribe(provision->bus, &provision->doors[i].subscription);
    provision_commands_done(provision);
    store_quiesce(provision->store);
    provision_jitp_done(provision);
    list_for_each_safe (link, &provision->requests)
        provision_request_end(list_entry(link, struct provision_request, link), -ECANCELED);
    provision_hook_done(provision);
    provision_tokens_done(provision);
    provision_templates_done(provision);
    free(provision->registration_code);
    free(provision);
    return NULL;
}

const struct provision_counters *provision_counters(const struct provision *provision)
{
    return &provision->counters;
}
