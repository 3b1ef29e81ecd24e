#include "mqtt/play.h"

#include "base/log.h"
#include "mqtt/house.h"
#include "mqtt/packet_text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A step that does not go as written leaves a sentence in play->why; then the case is over. */

enum { LOGGED_MAX = 4096 };

struct speaker {
    enum wire_version version; /* of its CONNECT */
    bool said_goodbye;         /* so the end may come without being expected */
};

struct play {
    unsigned version; /* SCRIPT_… */
    struct house *house;
    struct arena arena;
    struct variables variables;
    struct speaker speakers[HOUSE_CLIENTS];
    const char *why;
};

static char logged[LOGGED_MAX];

static void on_log(enum log_level level, const char *line)
{
    (void)level;
    size_t len = strlen(logged);
    (void)snprintf(logged + len, sizeof logged - len, "        %s\n", line);
}

static bool fail(struct play *p, const char *why)
{
    p->why = why;
    return false;
}

static enum wire_version version_of(const struct play *p)
{
    return p->version == SCRIPT_5 ? WIRE_MQTT5 : p->version == SCRIPT_311 ? WIRE_MQTT311 : WIRE_MQTT31;
}

static struct speaker *speaker_of(struct play *p, char who)
{
    return &p->speakers[who - 'A'];
}

static struct house_client *client_of(struct play *p, char who)
{
    return &p->house->clients[who - 'A'];
}

/* ---- the house ----------------------------------------------------------------------------------------------------- */

static bool take_option(struct house_options *options, const struct script_field *field)
{
    struct broker_options *broker = &options->broker;
    const struct {
        const char *name;
        size_t *size;
        unsigned *number;
    } numbers[] = {
        {"packet-max", &broker->packet_max, NULL},
        {"queue-max", &broker->queue_max, NULL},
        {"queue-bytes-max", &broker->queue_bytes_max, NULL},
        {"inflight-max", NULL, &broker->inflight_max},
        {"connections-max", NULL, &broker->connections_max},
        {"unsettled-max", NULL, &broker->unsettled_max},
        {"connect-timeout", NULL, &broker->connect_timeout},
        {"topic-levels-max", NULL, &broker->topic_levels_max},
        {"subscriptions-max", NULL, &broker->subscriptions_max},
        {"session-expiry", NULL, &broker->session_expiry_s},
        {"session-expiry-max", NULL, &broker->session_expiry_max_s},
        {"keepalive-max", NULL, &broker->keepalive_max_s},
        {"queued-bytes-max", &broker->queued_bytes_max, NULL},
    };
    const struct {
        const char *name;
        const char **text;
    } texts[] = {
        {"node", &options->node}, {"publish", &options->publish}, {"subscribe", &options->subscribe}};
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {
        {"store", &options->store}, {"swordfish", &options->swordfish}, {"websocket", &options->websocket}};
    for (size_t i = 0; i < array_size(flags); i++)
        if (!*field->key && strcmp(field->value, flags[i].name) == 0) {
            *flags[i].flag = true;
            return true;
        }
    if (!*field->key && strcmp(field->value, "publishers-wait") == 0) {
        broker->queue_full = BROKER_QUEUE_WAIT;
        return true;
    }
    for (size_t i = 0; i < array_size(texts); i++)
        if (strcmp(field->key, texts[i].name) == 0) {
            *texts[i].text = field->value;
            return true;
        }
    for (size_t i = 0; i < array_size(numbers); i++) {
        uint64_t value;
        if (strcmp(field->key, numbers[i].name) != 0)
            continue;
        if (!script_number(field->value, field->len, UINT32_MAX, &value))
            return false;
        if (numbers[i].size)
            *numbers[i].size = value;
        else
            *numbers[i].number = (unsigned)value;
        return true;
    }
    return false;
}

static bool open_house(struct play *p, const struct script_case *played)
{
    struct house_options options = house_options();
    for (size_t i = 0; i < played->options.count; i++)
        if (!take_option(&options, &played->options.list[i]))
            return fail(p, arena_printf(&p->arena, "%s=%s: no such option", played->options.list[i].key,
                                        played->options.list[i].value));
    p->house = house_new(&options);
    return true;
}

/* ---- sending ------------------------------------------------------------------------------------------------------- */

static bool has_key(const struct script_fields *fields, const char *key)
{
    for (size_t i = 0; i < fields->count; i++)
        if (strcmp(fields->list[i].key, key) == 0)
            return true;
    return false;
}

/* The fields with one more. */
static struct script_fields with_field(struct play *p, const struct script_fields *fields, const char *key,
                                       const char *value)
{
    struct script_fields more = *fields;
    more.list = arena_alloc(&p->arena, (fields->count + 1) * sizeof *more.list);
    if (fields->count)
        memcpy(more.list, fields->list, fields->count * sizeof *more.list);
    more.list[more.count++] = (struct script_field){.key = key, .value = value, .len = strlen(value)};
    return more;
}

static bool send_packet(struct play *p, char who, const char *name, const struct script_fields *fields)
{
    struct speaker *speaker = speaker_of(p, who);
    struct script_fields sent = *fields;
    if (strcmp(name, "CONNECT") == 0) {
        speaker->version = version_of(p);
        char id[] = {(char)tolower((unsigned char)who), '\0'};
        if (!has_key(fields, "id"))
            sent = with_field(p, fields, "id", arena_copy(&p->arena, id, 1));
    }
    const uint8_t *bytes;
    const char *why;
    size_t len;
    if (packet_encode(&p->arena, name, &sent, speaker->version, &p->variables, &bytes, &len, &why) < 0)
        return fail(p, why);
    speaker->said_goodbye |= strcmp(name, "DISCONNECT") == 0;
    if (p->house) {
        house_send(p->house, who, bytes, len);
        house_turn(p->house);
    }
    return true;
}

/* ---- expecting ----------------------------------------------------------------------------------------------------- */

static const char *hex(struct play *p, const uint8_t *bytes, size_t len)
{
    enum { SHOWN = 64 };
    const char *text = "";
    for (size_t i = 0; i < len && i < SHOWN; i++)
        text = arena_printf(&p->arena, "%s%s%02x", text, i ? " " : "", bytes[i]);
    return len > SHOWN ? arena_printf(&p->arena, "%s … (%zu bytes)", text, len) : text;
}

/* The next packet that came, and how long it is; false: none, or rubbish. */
static bool next_packet(struct play *p, char who, struct wire_packet *packet, size_t *len)
{
    struct house_client *client = client_of(p, who);
    struct wire_frame frame;
    const char *why = "";
    house_turn(p->house);
    int r = wire_frame(client->in, client->in_len, WIRE_REMAINING_MAX, &frame);
    if (r == 0 && !client->in_len)
        return fail(p, client->ended ? "the broker has closed" : "nothing came");
    if (r == 1 && !wire_decode(packet, &frame, speaker_of(p, who)->version, WIRE_FROM_SERVER, &why)) {
        *len = frame.total;
        return true;
    }
    return fail(
        p, arena_printf(&p->arena, "this is no packet (%s): %s", why, hex(p, client->in, client->in_len)));
}

/* Without a house: what comes would give the names their values. */
static void suppose(struct play *p, const struct script_fields *fields)
{
    for (size_t i = 0; i < fields->count; i++)
        if (fields->list[i].kind == SCRIPT_VARIABLE)
            variable_set(&p->variables, fields->list[i].value, "1", 1);
}

static bool expect_packet(struct play *p, char who, const char *name, const struct script_fields *fields)
{
    struct wire_packet packet;
    size_t len;
    if (!p->house) {
        suppose(p, fields);
        return true;
    }
    if (!next_packet(p, who, &packet, &len))
        return false;
    p->why = packet_differs(&p->arena, name, fields, &packet, &p->variables);
    house_take(p->house, who, len);
    return !p->why;
}

/* What comes must be one of the steps of the group that have not been met; those are counted in *left. */
static bool expect_any_of(struct play *p, const struct script_step *group, bool *met, size_t count)
{
    struct wire_packet packet;
    size_t len;
    if (!next_packet(p, group->who, &packet, &len))
        return false;
    const char *why = NULL;
    for (size_t i = 0; i < count; i++) {
        if (met[i])
            continue;
        const char *differs =
            packet_differs(&p->arena, group[i].packet, &group[i].fields, &packet, &p->variables);
        if (!differs) {
            met[i] = true;
            house_take(p->house, group->who, len);
            return true;
        }
        why = differs;
    }
    return fail(p, why);
}

/* Neighbours that begin with X<~; returns how many steps were done, 0 when it failed. */
static size_t expect_group(struct play *p, const struct script_step *group, size_t count)
{
    size_t n = 1;
    while (n < count && group[n].verb == EXPECT_ANY_ORDER && group[n].who == group->who)
        n++;
    bool *met = arena_zero(&p->arena, n * sizeof *met);
    for (size_t i = 0; i < n; i++)
        if (!p->house)
            suppose(p, &group[i].fields);
        else if ((group[i].versions & p->version) && !expect_any_of(p, group, met, n))
            return 0;
    return n;
}

static bool expect_bytes(struct play *p, const struct script_step *step)
{
    struct house_client *client = client_of(p, step->who);
    house_turn(p->house);
    if (client->in_len < step->len || memcmp(client->in, step->bytes, step->len) != 0)
        return fail(p, arena_printf(&p->arena, "%s came%s", hex(p, client->in, client->in_len),
                                    client->ended ? ", and the end" : ""));
    house_take(p->house, step->who, step->len);
    return true;
}

static bool expect_head(struct play *p, const struct script_step *step)
{
    struct house_client *client = client_of(p, step->who);
    house_turn(p->house);
    const uint8_t *end = client->in_len ? memmem(client->in, client->in_len, "\r\n\r\n", 4) : NULL;
    size_t len = end ? (size_t)(end - client->in) + 4 : 0;
    if (!len || !memmem(client->in, len, step->bytes, step->len))
        return fail(p, arena_printf(&p->arena, "%.*s came", (int)client->in_len, (char *)client->in));
    house_take(p->house, step->who, len);
    return true;
}

/* Is something there that nobody expected? */
static bool expect_nothing_left(struct play *p, char who)
{
    struct house_client *client = client_of(p, who);
    if (client->fd < 0)
        return true;
    house_turn(p->house);
    if (!client->in_len)
        return true;
    struct wire_packet packet;
    size_t len;
    if (!next_packet(p, who, &packet, &len))
        return false;
    struct script_fields fields = packet_fields(&p->arena, &packet);
    return fail(p, arena_printf(&p->arena, "%c< %s came", who,
                                packet_print(&p->arena, packet_name(packet.type), &fields)));
}

static bool expect_nothing(struct play *p, char who)
{
    if (!expect_nothing_left(p, who))
        return false;
    return !client_of(p, who)->ended || fail(p, "the broker has closed");
}

static bool expect_closed(struct play *p, char who)
{
    if (!expect_nothing_left(p, who))
        return false;
    if (!client_of(p, who)->ended)
        return fail(p, "the connection is still open");
    house_forget(p->house, who);
    *speaker_of(p, who) = (struct speaker){.version = version_of(p)};
    return true;
}

static bool expect_ended(struct play *p, char who, int64_t reason)
{
    if (speaker_of(p, who)->version == WIRE_MQTT5) {
        struct script_fields none = {0};
        struct script_fields fields = with_field(p, &none, "rc", arena_printf(&p->arena, "%d", (int)reason));
        if (!expect_packet(p, who, "DISCONNECT", &fields))
            return false;
    }
    return expect_closed(p, who);
}

/* ---- short ways ---------------------------------------------------------------------------------------------------- */

static bool connects(struct play *p, const struct script_step *step, bool resumes)
{
    struct script_fields connack = {.open = true};
    connack = with_field(p, &connack, "rc", "0");
    if (resumes)
        connack = with_field(p, &connack, "session-present", "");
    connack.open = true;
    if (!send_packet(p, step->who, "CONNECT", &step->fields) || !p->house)
        return !p->why;
    struct wire_packet packet;
    size_t len;
    if (!next_packet(p, step->who, &packet, &len))
        return false;
    if (packet.type == WIRE_CONNACK && packet.session_present != resumes)
        return fail(p, resumes ? "there is no session" : "there is a session already");
    return expect_packet(p, step->who, "CONNACK", &connack);
}

/* SUBSCRIBE, and SUBACK that grants each filter what was asked for. */
static bool subscribes(struct play *p, const struct script_step *step)
{
    struct script_fields subscribe = step->fields, suback = {0};
    if (!has_key(&subscribe, "id"))
        subscribe = with_field(p, &subscribe, "id", "1000");
    const char *code = NULL;
    for (size_t i = 0; i < step->fields.count; i++) {
        const struct script_field *field = &step->fields.list[i];
        bool is_filter =
            !*field->key && (field->quoted || (strcmp(field->value, "no-local") != 0 &&
                                               strcmp(field->value, "retain-as-published") != 0));
        if (is_filter && code)
            suback = with_field(p, &suback, "code", code);
        if (is_filter)
            code = "0";
        if (strcmp(field->key, "qos") == 0)
            code = field->value;
        if (strcmp(field->key, "id") == 0)
            suback = with_field(p, &suback, "id", field->value);
    }
    if (code)
        suback = with_field(p, &suback, "code", code);
    if (!has_key(&suback, "id"))
        suback = with_field(p, &suback, "id", "1000");
    return send_packet(p, step->who, "SUBSCRIBE", &subscribe) &&
           expect_packet(p, step->who, "SUBACK", &suback);
}

/* ---- a step, a case ------------------------------------------------------------------------------------------------ */

/* With a house. */
static bool play_live(struct play *p, const struct script_step *step)
{
    struct house *house = p->house;
    switch (step->verb) {
    case SEND_OPEN:
        house_connect(house, step->who);
        house_turn(house);
        return true;
    case SEND_RAW:
        house_send(house, step->who, step->bytes, step->len);
        house_turn(house);
        return true;
    case SEND_CLOSE:
        house_hang_up(house, step->who);
        *speaker_of(p, step->who) = (struct speaker){.version = version_of(p)};
        house_turn(house);
        return true;
    case EXPECT_RAW: return expect_bytes(p, step);
    case EXPECT_HEAD: return expect_head(p, step);
    case EXPECT_CLOSED: return expect_closed(p, step->who);
    case EXPECT_NOTHING: return expect_nothing(p, step->who);
    case EXPECT_ENDED: return expect_ended(p, step->who, step->number);
    case WAIT: house_wait(house, step->number); return true;
    case SHUTDOWN: broker_shutdown(house->broker); return true;
    case RESTART: house_restart(house); return true;
    case SETTLE:
        house_turn(house);
        return house_settle(house, step->newest, (int)step->number) || fail(p, "nothing waits to be settled");
    case SEND_PACKET:
    case EXPECT_PACKET:
    case EXPECT_ANY_ORDER:
    case CONNECTS:
    case RESUMES:
    case SUBSCRIBES: break;
    }
    return true;
}

static bool play_step(struct play *p, const struct script_step *step)
{
    switch (step->verb) {
    case SEND_PACKET: return send_packet(p, step->who, step->packet, &step->fields);
    case EXPECT_PACKET: return expect_packet(p, step->who, step->packet, &step->fields);
    case CONNECTS: return connects(p, step, false);
    case RESUMES: return connects(p, step, true);
    case SUBSCRIBES: return subscribes(p, step);
    default: return !p->house || play_live(p, step);
    }
}

/* Nobody may have been told more than was expected. */
static bool nothing_is_left(struct play *p)
{
    house_turn(p->house);
    for (char who = 'A'; who <= 'Z'; who++) {
        if (!expect_nothing_left(p, who))
            return false;
        if (client_of(p, who)->ended && !speaker_of(p, who)->said_goodbye)
            return fail(p, arena_printf(&p->arena, "the broker has closed %c's connection", who));
    }
    return true;
}

static void begin(struct play *p)
{
    arena_init(&p->arena);
    for (int i = 0; i < HOUSE_CLIENTS; i++)
        p->speakers[i].version = version_of(p);
    logged[0] = '\0';
    log_capture(on_log);
}

static void end(struct play *p)
{
    if (p->house)
        p->house = house_free(p->house);
    log_capture(NULL);
    arena_done(&p->arena);
}

/* Where it stopped is in *line and *written. */
static bool play_steps(struct play *p, const struct script_case *played, int *line, const char **written)
{
    bool fine = true;
    for (size_t i = 0; i < played->count && fine;) {
        const struct script_step *step = &played->steps[i];
        size_t done = 1;
        *line = step->line;
        *written = step->text;
        if (step->verb == EXPECT_ANY_ORDER)
            fine = (done = expect_group(p, step, played->count - i)) > 0;
        else if (step->versions & p->version)
            fine = play_step(p, step);
        i += done;
    }
    return fine;
}

static int play_all(const struct script *script, const struct script_case *played, unsigned version,
                    bool really, char **why)
{
    struct play p = {.version = version};
    begin(&p);
    int line = played->line;
    const char *written = played->name;
    bool fine = (!really || open_house(&p, played)) && play_steps(&p, played, &line, &written);
    if (fine && p.house && !nothing_is_left(&p)) {
        written = "the end of the case";
        fine = false;
    }
    if (!fine)
        *why = str_printf("%s:%d: %s\n    %s\n%s", script->name, line, written, p.why, logged);
    end(&p);
    return fine ? 0 : -EPROTO;
}

int play(const struct script *script, const struct script_case *played, unsigned version, char **why)
{
    return play_all(script, played, version, true, why);
}

int play_check(const struct script *script, const struct script_case *played, unsigned version, char **why)
{
    return play_all(script, played, version, false, why);
}

/* ---- a piece at a time --------------------------------------------------------------------------------------------- */

struct play *play_open(const struct house_options *options, unsigned version)
{
    struct play *p = mem_new(struct play);
    p->version = version;
    begin(p);
    p->house = house_new(options);
    return p;
}

struct house *play_house(struct play *p)
{
    return p->house;
}

int play_lines(struct play *p, const char *lines, char **why)
{
    cleanup_free char *text = str_printf("case a piece\n3.1\n3.1.1\n5.0\n%s", lines);
    struct script script;
    int line = 0;
    const char *written = "";
    int r = script_parse(&script, "a piece", text, strlen(text), why);
    if (r < 0)
        return r;
    if (!play_steps(p, script.cases, &line, &written)) {
        *why = str_printf("%s\n    %s\n%s", written, p->why, logged);
        r = -EPROTO;
    }
    logged[0] = '\0';
    script_done(&script);
    return r;
}

int play_close(struct play *p, char **why)
{
    int r = nothing_is_left(p) ? 0 : -EPROTO;
    if (r < 0)
        *why = str_printf("at the end: %s\n%s", p->why, logged);
    end(p);
    free(p);
    return r;
}
