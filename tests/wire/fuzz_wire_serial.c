/* A serial line with anything on it: both ends keep to their buffers, and what they write are frames. */
#include "wire/serial.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool on_data(struct wire_serial *link, const uint8_t *bytes, size_t len)
{
    (void)link;
    static uint8_t sink[WIRE_SERIAL_PAYLOAD_MAX];
    if (len > sizeof sink)
        abort();
    memcpy(sink, bytes, len);
    return len % 3 != 2;
}

static void on_opened(struct wire_serial *link, const char *serial)
{
    if (strlen(serial) > WIRE_SERIAL_NAME_MAX)
        abort();
    (void)wire_serial_send(link, "answer", 6, 0);
}

static void on_log(struct wire_serial *link, const char *text, size_t len)
{
    (void)link;
    if (len > WIRE_SERIAL_PAYLOAD_MAX || (len && text[len - 1] == text[0] + 1000))
        abort();
}

static void run(struct wire_serial *link, const uint8_t *data, size_t size)
{
    size_t len;
    uint32_t now = 0;
    for (size_t i = 0; i < size; i++, now += 50) {
        wire_serial_input(link, data + i, 1, now);
        for (const uint8_t *out; (out = wire_serial_output(link, &len, now));) {
            if (len > WIRE_SERIAL_FRAME_MAX || out[len - 1])
                abort();
            wire_serial_wrote(link, len, now);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t nonce[WIRE_SERIAL_NONCE] = "12345678";
    const struct wire_serial_events events = {.opened = on_opened, .data = on_data, .log = on_log};
    struct wire_serial link;
    wire_serial_init(&link, &events, NULL);
    run(&link, data, size);
    wire_serial_init(&link, &events, "A7");
    wire_serial_open(&link, nonce, 0);
    run(&link, data, size);
    return 0;
}
