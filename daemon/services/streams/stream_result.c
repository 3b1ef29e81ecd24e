#include "services/streams/stream_result.h"

#include <stdio.h>
#include <string.h>

struct row {
    int code;
    bool never;
    const char *text;
};

/* MQTT 5, 2.4: those that a PUBACK or a PUBREC may carry, and those that our own uplinks and the broker use besides. */
static const struct row rows[] = {
    {0x80, false, "unspecified error"},
    {0x83, false, "not connected, or the other side would not say why"},
    {0x87, false, "not authorized"},
    {0x88, false, "server unavailable"},
    {0x89, false, "server busy"},
    {0x8B, false, "server shutting down"},
    {0x8E, false, "session taken over"},
    {0x90, true, "topic name invalid"},
    {0x91, false, "packet identifier in use"},
    {0x92, false, "packet identifier not found"},
    {0x93, false, "receive maximum exceeded"},
    {0x94, false, "topic alias invalid"},
    {0x95, true, "packet too large"},
    {0x96, false, "message rate too high"},
    {0x97, false, "quota exceeded"},
    {0x98, false, "administrative action"},
    {0x99, true, "payload format invalid"},
    {0x9A, false, "retain not supported"},
    {0x9B, false, "QoS not supported"},
};

static const struct row *row_of(int code)
{
    for (size_t i = 0; i < array_size(rows); i++)
        if (rows[i].code == code)
            return &rows[i];
    return NULL;
}

enum result_kind result_kind(int r)
{
    const struct row *row = row_of(r);
    return r == 0 ? RESULT_DELIVERED : row && row->never ? RESULT_NEVER : RESULT_AGAIN;
}

const char *result_text(char *buffer, int r, const char *besides)
{
    const struct row *row = row_of(r);
    const char *colon = besides ? ": " : "";
    if (!besides)
        besides = "";
    if (r < 0)
        (void)snprintf(buffer, RESULT_TEXT_MAX, "%s%s%s", strerror(-r), colon, besides);
    else if (row)
        (void)snprintf(buffer, RESULT_TEXT_MAX, "%s (0x%02X)%s%s", row->text, (unsigned)r, colon, besides);
    else
        (void)snprintf(buffer, RESULT_TEXT_MAX, "refused (0x%02X)%s%s", (unsigned)r, colon, besides);
    return buffer;
}
