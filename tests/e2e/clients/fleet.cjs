/* The AWS IoT Device SDK (JavaScript, version 2) provisions itself: its identity client, with nothing changed but the endpoint.
 *
 *      node fleet.cjs HOST PORT CA CERT KEY TEMPLATE PARAMETERS [CSR]     one line of JSON: what it got, or {"error":…} */
'use strict'
const fs = require('fs')
const { iot, iotidentity, mqtt } = require('aws-iot-device-sdk-v2')

const [host, port, ca, cert, key, template, parameters, csr] = process.argv.slice(2)

async function main() {
  const config = iot.AwsIotMqttConnectionConfigBuilder.new_mtls_builder_from_path(cert, key)
    .with_certificate_authority_from_path(undefined, ca)
    .with_clean_session(true)
    .with_client_id('sdk-claim')
    .with_endpoint(host)
    .with_port(Number(port))
    .build()
  const connection = new mqtt.MqttClient().new_connection(config)
  await connection.connect()
  const identity = new iotidentity.IotIdentityClient(connection)
  const qos = mqtt.QoS.AtLeastOnce

  /* Subscribes to both answers, asks, and waits for one of them. */
  async function ask(accepted, rejected, publish, topic, request) {
    let done
    const answer = new Promise((resolve, reject) => {
      done = (error, response) => (error || response.statusCode ? reject(new Error(JSON.stringify(response || error))) : resolve(response))
    })
    await identity[accepted](topic, qos, done)
    await identity[rejected](topic, qos, done)
    await identity[publish](request, qos)
    return answer
  }

  const made = csr
    ? await ask('subscribeToCreateCertificateFromCsrAccepted', 'subscribeToCreateCertificateFromCsrRejected',
      'publishCreateCertificateFromCsr', {}, { certificateSigningRequest: fs.readFileSync(csr, 'utf8') })
    : await ask('subscribeToCreateKeysAndCertificateAccepted', 'subscribeToCreateKeysAndCertificateRejected',
      'publishCreateKeysAndCertificate', {}, {})
  const thing = await ask('subscribeToRegisterThingAccepted', 'subscribeToRegisterThingRejected', 'publishRegisterThing',
    { templateName: template },
    { templateName: template, certificateOwnershipToken: made.certificateOwnershipToken, parameters: JSON.parse(parameters) })
  await connection.disconnect()
  return { certificate: made.certificatePem, key: made.privateKey, thing: thing.thingName, configuration: thing.deviceConfiguration }
}

main().then((found) => { console.log(JSON.stringify(found)) },
  (error) => { console.log(JSON.stringify({ error: String(error.message || error) })) })
