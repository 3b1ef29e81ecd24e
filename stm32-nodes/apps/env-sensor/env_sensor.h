/* A sensor for temperature and humidity, as an example of an application and as what the simulator runs.
 *
 *      dt/THING/env   {"seq":7,"ts":1795378000,"temperature":2150,"humidity":4480}       hundredths of °C and of %
 *      shadow         {"interval":1000,"led":false,"setpoint":2100}                      ms, lamp, hundredths of °C
 *
 * The board gives the sensor and the lamp; everything else, memory included, is in here.
 */
#pragma once

#include "ghn/node.h"

typedef struct env_reading {
    int32_t temperature; /* hundredths of a degree Celsius */
    int32_t humidity;    /* hundredths of a per cent */
} env_reading;

/* What a board gives. All but measure may be NULL. */
typedef struct env_board {
    void (*measure)(void *ctx, int32_t setpoint, env_reading *reading);
    void (*lamp)(void *ctx, bool on);
    void (*on_telemetry)(void *ctx, const env_reading *reading, int result); /* what ghn_telemetry() said */
    void (*on_desired)(void *ctx, const char *key, const ghn_json *value, bool applied);
    void (*on_state)(void *ctx, ghn_event event, int32_t detail);
    void *ctx;
    /* Of a paired node, as in ghn_config; NULL: the stream as it is. */
    ghn_keys *keys;
    const ghn_secure *secure;
    const char *serial;
} env_board;

enum {
    ENV_INTERVAL_MIN = 10,
    ENV_INTERVAL_MAX = 3600 * 1000,
    ENV_SETPOINT_MIN = -4000,
    ENV_SETPOINT_MAX = 12500,
    ENV_RX = 512,
    ENV_TX = 2 * 384,
    ENV_REPORTED = 192,
    ENV_RING = 2048
};

typedef struct env_sensor {
    ghn_node node;
    ghn_config config;
    const ghn_port *port;
    const env_board *board;
    uint32_t measure_at;
    uint32_t interval; /* ms */
    int32_t setpoint;
    bool lamp;
    uint8_t rx[ENV_RX], tx[ENV_TX], ring[ENV_RING];
    char reported[ENV_REPORTED];
} env_sensor;

/* thing, host and info must live as long as the sensor. 0, or as ghn_init(). */
int env_sensor_init(env_sensor *sensor, const char *thing, const char *host, uint16_t host_port,
                    const char *info, uint32_t interval, const env_board *board, const ghn_port *port,
                    const ghn_stream *stream);

/* Measures when it is time and lets the node work. Returns in how many milliseconds it wants to be called again. */
int env_sensor_poll(env_sensor *sensor);
