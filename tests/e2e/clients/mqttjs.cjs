/* MQTT.js, driven from stdin as driver.h says. URI: mqtt://, mqtts://, ws:// or wss://HOST:PORT[/PATH], or
 * unix:///PATH. */
'use strict'
const fs = require('fs')
const net = require('net')
const readline = require('readline')
const mqtt = require('mqtt')

const [uri, version, ca, cert, key] = process.argv.slice(2)
let client = null

const say = (line) => fs.writeSync(1, line + '\n')
const answer = (verb, done) => (error, ...more) => say(error ? `failed ${verb} ${error.message}` : done(...more))

function show(topic, payload, packet) {
  const text = payload.length <= 100 ? payload.toString() : 'sum=' + payload.reduce((sum, byte) => sum + byte, 0)
  say(`message ${topic} ${packet.qos} ${packet.retain ? 1 : 0} ${payload.length} ${text}`)
}

function open(options) {
  if (!uri.startsWith('unix://')) return mqtt.connect(uri, options)
  return new mqtt.MqttClient(() => net.connect(uri.slice('unix://'.length)), options)
}

const verbs = {
  connect(id, clean, keepalive, willTopic, payload, qos, retain) {
    const options = {
      clientId: id, clean: clean === '1', keepalive: Number(keepalive), protocolVersion: Number(version),
      reconnectPeriod: 0, resubscribe: false, reschedulePings: false, connectTimeout: 60000,
    }
    if (version === '5') options.properties = { sessionExpiryInterval: clean === '1' ? 0 : 0xffffffff }
    if (ca) Object.assign(options, { ca: fs.readFileSync(ca), cert: fs.readFileSync(cert), key: fs.readFileSync(key) })
    if (willTopic) options.will = { topic: willTopic, payload, qos: Number(qos), retain: retain === '1' }
    const mine = client = open(options)
    let connected = false, wanted = true
    mine.leave = () => { wanted = false }
    mine.on('message', show)
    mine.on('connect', (connack) => { connected = true; say(`connected ${connack.sessionPresent ? 1 : 0}`) })
    mine.on('close', () => { if (connected && wanted) say('lost'); connected = false })
    mine.on('error', (error) => { if (!connected) say(`failed connect ${error.message}`) })
  },
  subscribe(filter, qos) {
    client.subscribe(filter, { qos: Number(qos) }, answer('subscribe', (granted) => `subscribed ${granted[0].qos}`))
  },
  unsubscribe(filter) {
    client.unsubscribe(filter, answer('unsubscribe', () => 'unsubscribed'))
  },
  publish(topic, qos, retain, payload = '') {
    client.publish(topic, payload, { qos: Number(qos), retain: retain === '1' }, answer('publish', () => 'published'))
  },
  fill(topic, qos, size) {
    const payload = Buffer.alloc(Number(size))
    for (let i = 0; i < payload.length; i++) payload[i] = i % 251
    client.publish(topic, payload, { qos: Number(qos) }, answer('publish', () => 'published'))
  },
  disconnect() {
    client.leave()
    client.end(false, {}, answer('disconnect', () => 'disconnected'))
  },
}

const lines = readline.createInterface({ input: process.stdin })
lines.on('line', (line) => {
  const [verb, ...words] = line.split(' ').filter((word) => word)
  try {
    verbs[verb](...words)
  } catch (error) {
    say(`failed ${verb} ${error.message}`)
  }
})
lines.on('close', () => process.exit(0))
