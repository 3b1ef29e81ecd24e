/* thingShadow of aws-iot-device-sdk, driven from stdin; arguments: HOST PORT CA CERT KEY CLIENT-ID.
 *
 *      register THING                  registered
 *      get THING [TOKEN]               then, as answer: status THING accepted|rejected DOCUMENT
 *      update THING DOCUMENT           the same; the library adds clientToken, and the version that it knows
 *      delete THING                    the same
 *      unregister THING                unregistered
 *      end                             ended
 *
 * Between them: `connected`, `delta THING DOCUMENT`, `foreign THING OPERATION DOCUMENT` (what somebody else did), `timeout THING`,
 * `offline`, `error WHAT`. Documents are JSON without clientToken and times. */
'use strict'
const fs = require('fs')
const readline = require('readline')
const { thingShadow } = require('aws-iot-device-sdk')

const [host, port, caPath, certPath, keyPath, clientId] = process.argv.slice(2)
const say = (...words) => fs.writeSync(1, words.join(' ') + '\n')

function brief(document) {
  const { clientToken, timestamp, metadata, ...rest } = document
  return JSON.stringify(rest)
}

const shadows = thingShadow({ host, port: Number(port), caPath, certPath, keyPath, clientId }, { operationTimeout: 20000 })
shadows.on('connect', () => say('connected'))
shadows.on('offline', () => say('offline'))
shadows.on('error', (error) => say('error', error.message))
shadows.on('timeout', (thing) => say('timeout', thing))
shadows.on('status', (thing, status, token, document) => say('status', thing, status, brief(document)))
shadows.on('delta', (thing, document) => say('delta', thing, brief(document)))
shadows.on('foreignStateChange', (thing, operation, document) => say('foreign', thing, operation, brief(document)))

/* The library answers null when an operation is still under way. */
const begun = (verb, token) => { if (token === null) say('error', verb, 'is refused by the library') }

const verbs = {
  register(thing) {
    shadows.register(thing, {}, (error, failed) => {
      say(error || (failed && failed.some((granted) => granted.qos > 2)) ? 'error register' : 'registered')
    })
  },
  unregister(thing) { shadows.unregister(thing); say('unregistered') },
  get(thing) { begun('get', shadows.get(thing)) },
  update(thing, ...words) { begun('update', shadows.update(thing, JSON.parse(words.join(' ')))) },
  delete(thing) { begun('delete', shadows.delete(thing)) },
  end() { shadows.end(false, () => say('ended')) },
}

const lines = readline.createInterface({ input: process.stdin })
lines.on('line', (line) => {
  const [verb, ...words] = line.split(' ')
  try {
    verbs[verb](...words)
  } catch (error) {
    say('error', verb, error.message)
  }
})
lines.on('close', () => process.exit(0))
