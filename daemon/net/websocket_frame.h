/* Frames of WebSocket (RFC 6455, section 5): heads from bytes and back, and the mask. Pure. */
#pragma once

#include "base/base.h"

enum websocket_opcode {
    WEBSOCKET_CONTINUATION = 0,
    WEBSOCKET_TEXT = 1,
    WEBSOCKET_BINARY = 2,
    WEBSOCKET_CLOSE = 8, /* and above: control frames */
    WEBSOCKET_PING = 9,
    WEBSOCKET_PONG = 10
};

/* Why a connection ends, in a close frame (section 7.4.1). */
enum websocket_code {
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_PROTOCOL_ERROR = 1002,
    WEBSOCKET_UNSUPPORTED = 1003,
    WEBSOCKET_TOO_BIG = 1009
};

enum {
    WEBSOCKET_CLIENT_HEAD_MAX = 14, /* 2 bytes, 8 of length, 4 of mask */
    WEBSOCKET_SERVER_HEAD_MAX = 10,
    WEBSOCKET_CONTROL_MAX = 125 /* payload of a control frame */
};

struct websocket_frame {
    enum websocket_opcode opcode;
    bool fin;
    uint64_t len;
    uint32_t mask; /* as its four bytes lie in memory */
};

/* The head of a client's frame: how many bytes it has; 0: they are not all there; -EPROTO and *why: nothing that a client
 * may send. The outcome does not depend on how many bytes are there already. */
int websocket_frame_decode(struct websocket_frame *ret, const uint8_t *bytes, size_t len, const char **why)
    must_check;

/* The head of a server's frame, which is all there is to say in it: how many bytes. */
size_t websocket_frame_encode(uint8_t head[WEBSOCKET_SERVER_HEAD_MAX], enum websocket_opcode opcode,
                              uint64_t len);

/* Copies and unmasks in one pass. `to` may overlap `from` when it is not behind it. Returns the mask for what follows. */
uint32_t websocket_unmask(uint8_t *to, const uint8_t *from, size_t len, uint32_t mask);

/* How long the MQTT packet is that begins there (MQTT 5, section 2.1); 0: its head is not all there, or is none. */
size_t websocket_cut_mqtt(const uint8_t *bytes, size_t len);

/* May a peer say that code in a close frame? */
bool websocket_code_is_valid(unsigned code);
