/* A record in the ring is complete when it goes in, number and time included, so that it tells when it was measured and not
 * when it was sent:
 *
 *      seq (4, as in memory) │ QoS (1) │ length of the channel (1) │ channel │ payload
 */
#include "node_telemetry.h"

#include "node_topic.h"

#include <string.h>

enum { HEAD_LEN = 6 };

/* The caller's object with "seq" and "ts" in front of its members: its length, GHN_INVALID or GHN_TOO_LONG. */
static int complete(const ghn_node *node, const char *json, uint32_t seq, char out[GHN_TELEMETRY_MAX])
{
    ghn_json object, value;
    size_t at = 0;
    if (ghn_json_parse(&object, json, strlen(json)) < 0 || object.kind != GHN_JSON_OBJECT)
        return GHN_INVALID;
    bool empty = !ghn_json_next(&object, &at, NULL, &value);

    ghn_json_out writer;
    ghn_json_begin(&writer, out, GHN_TELEMETRY_MAX);
    ghn_json_put_int(&writer, "seq", seq);
    if (node->time_s)
        ghn_json_put_int(&writer, "ts", node->time_s + (node->port->now_ms() - node->time_at) / 1000);
    int len = ghn_json_finish(&writer);
    if (len < 0 || empty)
        return len;

    size_t begin = (size_t)len; /* the brace that closes becomes the comma between ours and theirs */
    size_t rest = object.len - 1;
    if (begin + rest > GHN_TELEMETRY_MAX)
        return GHN_TOO_LONG;
    out[begin - 1] = ',';
    memcpy(out + begin, object.text + 1, rest);
    return (int)(begin + rest);
}

/* Hands a payload to the connection: false when there is no room for it now. */
static bool publish(ghn_node *node, const char *channel, unsigned qos, const char *payload, size_t len,
                    uint32_t seq)
{
    if (ghn_publish(node, GHN_TOPIC_DATA, channel, qos, false, payload, len) < 0)
        return false;
    if (qos) {
        node->flight = GHN_FLIGHT_TELEMETRY;
        node->flight_seq = seq;
    }
    return true;
}

static int put_in_ring(ghn_node *node, const char *channel, unsigned qos, const char *payload, size_t len,
                       uint32_t seq)
{
    uint8_t head[HEAD_LEN] = {0};
    uint8_t channel_len = (uint8_t)strlen(channel);
    memcpy(head, &seq, sizeof seq);
    head[4] = (uint8_t)qos;
    head[5] = channel_len;
    ghn_piece pieces[] = {{head, sizeof head}, {channel, channel_len}, {payload, len}};
    return ghn_ring_put(&node->ring, pieces, sizeof pieces / sizeof pieces[0]);
}

int ghn_telemetry(ghn_node *node, const char *channel, const char *json, unsigned qos)
{
    char payload[GHN_TELEMETRY_MAX];
    if (!ghn_name_is_valid(channel, GHN_CHANNEL_MAX) || qos > 1)
        return GHN_INVALID;
    uint32_t seq = node->seq + 1;
    int len = complete(node, json, seq, payload);
    if (len < 0)
        return len;
    if (!ghn_publish_fits(node->config, GHN_TOPIC_DATA, channel, (size_t)len))
        return GHN_TOO_LONG;

    int r = GHN_BUSY;
    if (node->ring.size)
        r = put_in_ring(node, channel, qos, payload, (size_t)len, seq);
    else if (node->state == GHN_STATE_READY && !node->flight && !node->reading)
        r = publish(node, channel, qos, payload, (size_t)len, seq) ? 0 : GHN_BUSY;
    if (r == 0)
        node->seq = seq;
    return r;
}

bool ghn_telemetry_send_oldest(ghn_node *node)
{
    char payload[GHN_TELEMETRY_MAX];
    char channel[GHN_CHANNEL_MAX + 1];
    uint8_t head[HEAD_LEN];
    uint32_t seq;
    size_t len = ghn_ring_first(&node->ring);
    if (!len)
        return false;
    ghn_ring_copy(&node->ring, 0, head, sizeof head);
    memcpy(&seq, head, sizeof seq);
    size_t channel_len = head[5];
    ghn_ring_copy(&node->ring, sizeof head, channel, channel_len);
    channel[channel_len] = '\0';
    len -= sizeof head + channel_len;
    ghn_ring_copy(&node->ring, sizeof head + channel_len, payload, len);
    if (!publish(node, channel, head[4], payload, len, seq))
        return false;
    ghn_ring_drop(&node->ring);
    return true;
}

void ghn_set_time(ghn_node *node, int64_t seconds_since_1970)
{
    node->time_s = seconds_since_1970;
    node->time_at = node->port->now_ms();
}

void ghn_telemetry_keep_time(ghn_node *node, uint32_t now)
{
    uint32_t passed = (now - node->time_at) / 1000;
    if (node->time_s)
        node->time_s += passed;
    node->time_at += passed * 1000;
}
