#!/usr/bin/python3
"""Paho Python, driven from stdin as driver.h says. URI: mqtt://, mqtts://, ws:// or wss://HOST:PORT[/PATH]."""
import os
import sys
import urllib.parse

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

VERSIONS = {"4": mqtt.MQTTv311, "5": mqtt.MQTTv5}


def say(line):
    os.write(1, line.encode() + b"\n")


def show(message):
    text = message.payload.decode() if len(message.payload) <= 100 else f"sum={sum(message.payload)}"
    say(f"message {message.topic} {message.qos} {int(message.retain)} {len(message.payload)} {text}")


class Driver:
    def __init__(self, uri, version, tls):
        self.uri = urllib.parse.urlsplit(uri)
        self.version, self.tls = version, tls
        self.client = None

    def connect(self, name, clean, keepalive, will_topic=None, payload="", qos="0", retain="0"):
        clean = clean == "1"
        if self.client:
            self.client.loop_stop()
        v5 = self.version == "5"
        options = {"protocol": VERSIONS[self.version]} | ({} if v5 else {"clean_session": clean})
        if hasattr(mqtt, "CallbackAPIVersion"):
            options["callback_api_version"] = mqtt.CallbackAPIVersion.VERSION1
        web = self.uri.scheme in ("ws", "wss")
        client = self.client = mqtt.Client(client_id=name, reconnect_on_failure=False,
                                           transport="websockets" if web else "tcp", **options)
        if web:
            client.ws_set_options(self.uri.path)
        if self.tls:
            client.tls_set(*self.tls)
        if will_topic:
            client.will_set(will_topic, payload, int(qos), retain == "1")
        client.on_message = lambda _c, _u, message: show(message)
        client.on_connect = lambda _c, _u, flags, r, *_: say(
            f"connected {flags['session present']}" if r == 0 else f"failed connect {r}")
        client.on_disconnect = lambda _c, _u, r, *_: say("lost" if r else "disconnected")
        client.on_subscribe = lambda _c, _u, _m, granted, *_: say(f"subscribed {getattr(granted[0], 'value', granted[0])}")
        client.on_unsubscribe = lambda *_: say("unsubscribed")
        client.on_publish = lambda *_: say("published")
        if v5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 0 if clean else 0xFFFFFFFF
            client.connect(self.uri.hostname, self.uri.port, int(keepalive), clean_start=clean, properties=properties)
        else:
            client.connect(self.uri.hostname, self.uri.port, int(keepalive))
        client.loop_start()

    def subscribe(self, name, qos):
        self.client.subscribe(name, int(qos))

    def unsubscribe(self, name):
        self.client.unsubscribe(name)

    def publish(self, topic, qos, retain, payload=""):
        self.client.publish(topic, payload, int(qos), retain == "1")

    def fill(self, topic, qos, size):
        self.client.publish(topic, bytes(i % 251 for i in range(int(size))), int(qos))

    def disconnect(self):
        self.client.disconnect()


def main():
    uri, version, *tls = sys.argv[1:]
    driver = Driver(uri, version, tls)
    for line in sys.stdin:
        verb, *words = line.split()
        try:
            getattr(driver, verb)(*words)
        except Exception as error:  # who drives decides what to do about it
            say(f"failed {verb} {error}")


if __name__ == "__main__":
    main()
