#include "env_sensor.h"

#include <string.h>

static void report(env_sensor *sensor)
{
    char text[96];
    ghn_json_out out;
    ghn_json_begin(&out, text, sizeof text);
    ghn_json_put_int(&out, "interval", sensor->interval);
    ghn_json_put_bool(&out, "led", sensor->lamp);
    ghn_json_put_int(&out, "setpoint", sensor->setpoint);
    if (ghn_json_finish(&out) > 0)
        (void)ghn_report(&sensor->node,
                         text); /* it fits: both buffers are of fixed size, and so is the text */
}

static int set_interval(env_sensor *sensor, const ghn_json *value)
{
    int64_t interval;
    if (ghn_json_int(value, &interval) < 0 || interval < ENV_INTERVAL_MIN || interval > ENV_INTERVAL_MAX)
        return GHN_INVALID;
    sensor->interval = (uint32_t)interval;
    sensor->measure_at = sensor->port->now_ms() + sensor->interval;
    return 0;
}

static int set_lamp(env_sensor *sensor, const ghn_json *value)
{
    if (ghn_json_bool(value, &sensor->lamp) < 0)
        return GHN_INVALID;
    if (sensor->board->lamp)
        sensor->board->lamp(sensor->board->ctx, sensor->lamp);
    return 0;
}

static int set_setpoint(env_sensor *sensor, const ghn_json *value)
{
    int64_t setpoint;
    if (ghn_json_int(value, &setpoint) < 0 || setpoint < ENV_SETPOINT_MIN || setpoint > ENV_SETPOINT_MAX)
        return GHN_INVALID;
    sensor->setpoint = (int32_t)setpoint;
    return 0;
}

static const struct {
    const char *name;
    int (*set)(env_sensor *sensor, const ghn_json *value);
} keys[] = {
    {"interval", set_interval},
    {"led", set_lamp},
    {"setpoint", set_setpoint},
};

static int on_desired(void *ctx, const char *key, const ghn_json *value)
{
    env_sensor *sensor = ctx;
    int r = GHN_INVALID;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (strcmp(key, keys[i].name) == 0)
            r = keys[i].set(sensor, value);
    if (sensor->board->on_desired)
        sensor->board->on_desired(sensor->board->ctx, key, value, r == 0);
    report(sensor);
    return r;
}

static void on_state(void *ctx, ghn_event event, int32_t detail)
{
    const env_sensor *sensor = ctx;
    if (sensor->board->on_state)
        sensor->board->on_state(sensor->board->ctx, event, detail);
}

int env_sensor_init(env_sensor *sensor, const char *thing, const char *host, uint16_t host_port,
                    const char *info, uint32_t interval, const env_board *board, const ghn_port *port,
                    const ghn_stream *stream)
{
    memset(sensor, 0, sizeof *sensor);
    sensor->port = port;
    sensor->board = board;
    sensor->interval = interval;
    sensor->setpoint = 2100;
    sensor->measure_at = port->now_ms() + interval;
    sensor->config = (ghn_config){
        .thing = thing,
        .host = host,
        .port = host_port,
        .info = info,
        .rx = sensor->rx,
        .rx_size = sizeof sensor->rx,
        .tx = sensor->tx,
        .tx_size = sizeof sensor->tx,
        .reported = sensor->reported,
        .reported_size = sizeof sensor->reported,
        .ring = sensor->ring,
        .ring_size = sizeof sensor->ring,
        .keys = board->keys,
        .secure = board->secure,
        .serial = board->serial,
        .ctx = sensor,
        .on_desired = on_desired,
        .on_state = on_state,
    };
    int r = ghn_init(&sensor->node, &sensor->config, port, stream);
    if (r == 0)
        report(sensor);
    return r;
}

static void measure(env_sensor *sensor)
{
    char text[96];
    env_reading reading;
    ghn_json_out out;
    sensor->board->measure(sensor->board->ctx, sensor->setpoint, &reading);
    ghn_json_begin(&out, text, sizeof text);
    ghn_json_put_int(&out, "temperature", reading.temperature);
    ghn_json_put_int(&out, "humidity", reading.humidity);
    int r = ghn_json_finish(&out);
    if (r > 0)
        r = ghn_telemetry(&sensor->node, "env", text, 1);
    if (sensor->board->on_telemetry)
        sensor->board->on_telemetry(sensor->board->ctx, &reading, r);
}

int env_sensor_poll(env_sensor *sensor)
{
    uint32_t now = sensor->port->now_ms();
    if ((int32_t)(now - sensor->measure_at) >= 0) {
        measure(sensor);
        /* In step with the clock; but who slept through several intervals does not make up for them. */
        sensor->measure_at += sensor->interval;
        if ((int32_t)(now - sensor->measure_at) >= 0)
            sensor->measure_at = now + sensor->interval;
    }
    int wait = ghn_poll(&sensor->node);
    int32_t until_measure = (int32_t)(sensor->measure_at - sensor->port->now_ms());
    if (until_measure < 0)
        until_measure = 0;
    return until_measure < wait ? until_measure : wait;
}
