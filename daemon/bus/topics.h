/* Every reserved topic, once. schema/topics.md explains each; a test compares the two.
 *
 * A name ends where its variable part begins, or is a filter or printf format when it says so. AWS names for what AWS
 * has, $gatehouse/ for our own, gh/ for what small nodes type in every packet.
 */
#pragma once

/* Device shadows: AWS IoT's, byte for byte. Requests; what answers them is on topics below these: accepted, rejected, and
 * delta and documents below update. */
#define TOPIC_SHADOW_GET_FILTER          "$aws/things/+/shadow/get"
#define TOPIC_SHADOW_UPDATE_FILTER       "$aws/things/+/shadow/update"
#define TOPIC_SHADOW_DELETE_FILTER       "$aws/things/+/shadow/delete"
#define TOPIC_SHADOW_NAMED_GET_FILTER    "$aws/things/+/shadow/name/+/get"
#define TOPIC_SHADOW_NAMED_UPDATE_FILTER "$aws/things/+/shadow/name/+/update"
#define TOPIC_SHADOW_NAMED_DELETE_FILTER "$aws/things/+/shadow/name/+/delete"
#define TOPIC_SHADOW_NAMED_UPDATE_FORMAT "$aws/things/%s/shadow/name/%s/update"
#define TOPIC_SHADOW_NAMED_DELETE_FORMAT "$aws/things/%s/shadow/name/%s/delete"

/* Provisioning: AWS IoT's requests of devices that come for the first time; the last level is json or cbor. What answers them is
 * on topics below these, accepted and rejected, for the asker alone. */
#define TOPIC_CERTIFICATE_CREATE_FILTER   "$aws/certificates/create/+"
#define TOPIC_CERTIFICATE_FROM_CSR_FILTER "$aws/certificates/create-from-csr/+"
#define TOPIC_PROVISION_FILTER            "$aws/provisioning-templates/+/provision/+"
/* A certificate of authority %s was registered, or still waits. */
#define TOPIC_EVENT_REGISTERED_FORMAT "$aws/events/certificates/registered/%s"
/* What a template's hook is asked, and where its answers come. */
#define TOPIC_PROVISION_HOOK_FORMAT   "$gatehouse/provisioning/hooks/%s"
#define TOPIC_PROVISION_ANSWER_FORMAT "$gatehouse/provisioning/answers/%s"
#define TOPIC_PROVISION_ANSWER_FILTER "$gatehouse/provisioning/answers/+"
/* Commands about it. */
#define TOPIC_CTL_TEMPLATE_LIST         "$gatehouse/ctl/template/list"
#define TOPIC_CTL_TEMPLATE_DESCRIBE     "$gatehouse/ctl/template/describe"
#define TOPIC_CTL_TEMPLATE_CREATE       "$gatehouse/ctl/template/create"
#define TOPIC_CTL_TEMPLATE_ENABLE       "$gatehouse/ctl/template/enable"
#define TOPIC_CTL_TEMPLATE_DISABLE      "$gatehouse/ctl/template/disable"
#define TOPIC_CTL_TEMPLATE_DELETE       "$gatehouse/ctl/template/delete"
#define TOPIC_AUTHORIZER_QUESTION_FORMAT "$gatehouse/authorizers/questions/%s"
#define TOPIC_AUTHORIZER_ANSWER_FORMAT   "$gatehouse/authorizers/answers/%s"
#define TOPIC_AUTHORIZER_ANSWER_FILTER   "$gatehouse/authorizers/answers/+"

#define TOPIC_CTL_PROVISIONING_STATUS   "$gatehouse/ctl/provisioning/status"
#define TOPIC_CTL_PROVISIONING_CODE     "$gatehouse/ctl/provisioning/code"
#define TOPIC_CTL_PROVISIONING_REGISTER "$gatehouse/ctl/provisioning/register"

/* Streams. Payload of append: the record; of the others a request with a Response Topic. */
#define TOPIC_STREAM_APPEND_FILTER "$gatehouse/streams/+/append"
#define TOPIC_STREAM_APPEND_FORMAT "$gatehouse/streams/%s/append"
#define TOPIC_STREAM_READ_FILTER   "$gatehouse/streams/+/read"
#define TOPIC_STREAM_CURSOR_FILTER "$gatehouse/streams/+/cursor"

/* To the cloud: publish here and it is sent to uplink NAME on the topic that follows; the receipt settles when the
 * cloud has acknowledged it. */
#define TOPIC_CLOUD_PUBLISH_FILTER "$gatehouse/cloud/+/publish/#"
#define TOPIC_CLOUD_PUBLISH_FORMAT "$gatehouse/cloud/%s/publish/%s"

/* From the cloud: what somebody (the last level) wants to hear of uplink NAME, and what is heard on the topic that
 * follows. */
#define TOPIC_CLOUD_SUBSCRIBE_FORMAT "$gatehouse/cloud/%s/subscribe/%s"
#define TOPIC_CLOUD_RECEIVE_FORMAT   "$gatehouse/cloud/%s/receive/%s"

/* Temporary credentials for a cloud, for those who run here: a request with a Response Topic. */
#define TOPIC_CREDENTIALS_FILTER "$gatehouse/credentials/+/get"
#define TOPIC_CREDENTIALS_FORMAT "$gatehouse/credentials/%s/get"

/* Status, retained: JSON objects. */
#define TOPIC_STATUS_GATEWAY       "$gatehouse/status/gateway"
#define TOPIC_STATUS_NETWORK       "$gatehouse/status/network"
#define TOPIC_STATUS_CLOCK         "$gatehouse/status/clock"
#define TOPIC_STATUS_CLOUD_FILTER  "$gatehouse/status/cloud/+"
#define TOPIC_STATUS_CLOUD_FORMAT  "$gatehouse/status/cloud/%s"
#define TOPIC_STATUS_STREAM_FORMAT "$gatehouse/status/streams/%s"
/* Not retained: what happens to a node that is paired, or wants to be. */
#define TOPIC_STATUS_PAIRING_FORMAT "$gatehouse/status/pairing/%s"
#define TOPIC_STATUS_PLUGIN_FORMAT  "$gatehouse/status/plugins/%s"

/* Commands, on the control socket: a request with a Response Topic; the answer is a JSON object. */
#define TOPIC_CTL_GATEWAY_STATUS  "$gatehouse/ctl/gateway/status"
#define TOPIC_CTL_GATEWAY_METRICS "$gatehouse/ctl/gateway/metrics"
#define TOPIC_CTL_BROKER_STATUS   "$gatehouse/ctl/broker/status"
#define TOPIC_CTL_HTTP_STATUS     "$gatehouse/ctl/http/status"
#define TOPIC_CTL_SHADOW_LOG      "$gatehouse/ctl/shadow/log"
#define TOPIC_CTL_SHADOW_AT       "$gatehouse/ctl/shadow/at"
#define TOPIC_CTL_SHADOW_DIFF     "$gatehouse/ctl/shadow/diff"
#define TOPIC_CTL_SHADOW_BLAME    "$gatehouse/ctl/shadow/blame"
#define TOPIC_CTL_SHADOW_REVERT   "$gatehouse/ctl/shadow/revert"
#define TOPIC_CTL_SHADOW_LIST     "$gatehouse/ctl/shadow/list"
#define TOPIC_CTL_STREAM_LIST     "$gatehouse/ctl/stream/list"
#define TOPIC_CTL_STREAM_DESCRIBE "$gatehouse/ctl/stream/describe"
#define TOPIC_CTL_STREAM_CREATE   "$gatehouse/ctl/stream/create"
#define TOPIC_CTL_STREAM_DELETE   "$gatehouse/ctl/stream/delete"
#define TOPIC_CTL_STREAM_VERIFY   "$gatehouse/ctl/stream/verify"
#define TOPIC_CTL_STREAM_UPDATE   "$gatehouse/ctl/stream/update"
#define TOPIC_CTL_STREAM_EXPORTER "$gatehouse/ctl/stream/exporter"
#define TOPIC_CTL_STREAM_RETRY    "$gatehouse/ctl/stream/retry"
#define TOPIC_CTL_UPLINK_LIST     "$gatehouse/ctl/uplink/list"
#define TOPIC_CTL_UPLINK_CUT      "$gatehouse/ctl/uplink/cut"
#define TOPIC_CTL_UPLINK_RESTORE  "$gatehouse/ctl/uplink/restore"
#define TOPIC_CTL_SYNC_LIST       "$gatehouse/ctl/sync/list"
#define TOPIC_CTL_SYNC_EXPLAIN    "$gatehouse/ctl/sync/explain"
#define TOPIC_CTL_PAIR_LIST       "$gatehouse/ctl/pair/list"
#define TOPIC_CTL_PAIR_CODE       "$gatehouse/ctl/pair/code"
#define TOPIC_CTL_PAIR_WAIT       "$gatehouse/ctl/pair/wait"
#define TOPIC_CTL_PAIR_CANCEL     "$gatehouse/ctl/pair/cancel"
#define TOPIC_CTL_NODE_LIST       "$gatehouse/ctl/node/list"
#define TOPIC_CTL_NODE_ROTATE     "$gatehouse/ctl/node/rotate"
#define TOPIC_CTL_NODE_REVOKE     "$gatehouse/ctl/node/revoke"
#define TOPIC_CTL_NODE_REPAIR     "$gatehouse/ctl/node/re-pair"
#define TOPIC_CTL_NODE_APPROVE    "$gatehouse/ctl/node/approve"
#define TOPIC_CTL_PLUGIN_LIST     "$gatehouse/ctl/plugin/list"
#define TOPIC_CTL_PLUGIN_RESTART  "$gatehouse/ctl/plugin/restart"
/* The registry: the last level is what is to be done, as in ctl/thing/create. */
#define TOPIC_CTL_THING_FILTER  "$gatehouse/ctl/thing/+"
#define TOPIC_CTL_TYPE_FILTER   "$gatehouse/ctl/type/+"
#define TOPIC_CTL_GROUP_FILTER  "$gatehouse/ctl/group/+"
#define TOPIC_CTL_CERT_FILTER   "$gatehouse/ctl/cert/+"
#define TOPIC_CTL_POLICY_FILTER "$gatehouse/ctl/policy/+"
#define TOPIC_CTL_CA_FILTER     "$gatehouse/ctl/ca/+"
#define TOPIC_CTL_AUDIT_FILTER  "$gatehouse/ctl/audit/+"
#define TOPIC_CTL_USER_FILTER   "$gatehouse/ctl/user/+"
/* Where requests that came by HTTP have their answers sent; %s: the request's number. */
#define TOPIC_REST_ANSWER_FORMAT "$gatehouse/rest/answer/%s"
#define TOPIC_REST_ANSWER_FILTER "$gatehouse/rest/answer/+"
/* Where the command line has its answers sent; %s: its client id. */
#define TOPIC_CTL_ANSWER_FORMAT "$gatehouse/ctl/answer/%s"

/* Plugins. Config: retained, the keys of its section. State: from its host, {"state":"ready"|"lost","pid":…}. */
#define TOPIC_PLUGIN_CONFIG_FORMAT "$gatehouse/plugins/%s/config"
#define TOPIC_PLUGIN_STATE_FORMAT  "$gatehouse/plugins/%s/state"
#define TOPIC_PLUGIN_STATE_FILTER  "$gatehouse/plugins/+/state"
/* Records for a connector, on the topic that follows, and what it says became of them for an uplink. */
#define TOPIC_PLUGIN_DELIVER_FORMAT   "$gatehouse/plugins/%s/deliver/%s"
#define TOPIC_PLUGIN_DELIVERED_FORMAT "$gatehouse/plugins/%s/delivered/%s"

/* Lifecycle of MQTT connections: AWS IoT's, %s is the client id. */
#define TOPIC_EVENT_CONNECTED_FORMAT    "$aws/events/presence/connected/%s"
#define TOPIC_EVENT_DISCONNECTED_FORMAT "$aws/events/presence/disconnected/%s"
#define TOPIC_EVENT_FAILED_FORMAT       "$aws/events/presence/connect_failed/%s"
#define TOPIC_EVENT_SUBSCRIBED_FORMAT   "$aws/events/subscriptions/subscribed/%s"
#define TOPIC_EVENT_UNSUBSCRIBED_FORMAT "$aws/events/subscriptions/unsubscribed/%s"

/* Changes of the registry: AWS IoT's. */
#define TOPIC_EVENT_THING_FORMAT            "$aws/events/thing/%s/%s"
#define TOPIC_EVENT_TYPE_FORMAT             "$aws/events/thingType/%s/%s"
#define TOPIC_EVENT_TYPE_ASSOCIATION_FORMAT "$aws/events/thingTypeAssociation/thing/%s/thingType/%s/%s"
#define TOPIC_EVENT_GROUP_FORMAT            "$aws/events/thingGroup/%s/%s"
#define TOPIC_EVENT_MEMBERSHIP_FORMAT       "$aws/events/thingGroupMembership/thingGroup/%s/thing/%s/%s"
#define TOPIC_EVENT_CERTIFICATE_FORMAT      "$aws/events/certificate/%s/%s"
#define TOPIC_EVENT_CA_FORMAT               "$aws/events/caCertificate/%s/%s"
#define TOPIC_EVENT_POLICY_FORMAT           "$aws/events/policy/%s/%s"

/* Nodes. */
#define TOPIC_NODE_ONLINE_FORMAT "gh/nodes/%s/online"
#define TOPIC_NODE_INFO_FORMAT   "gh/nodes/%s/info"
#define TOPIC_NODE_ONLINE_FILTER "gh/nodes/+/online"
/* Rotation of its key: from the house, and from the node. */
#define TOPIC_NODE_KEY_NEXT_FORMAT   "gh/nodes/%s/key/next"
#define TOPIC_NODE_KEY_COMMIT_FILTER "gh/nodes/+/key/commit"

/* Pairing: from the node, from the house (to that node alone), and from the node. */
#define TOPIC_PAIR_HELLO_FILTER  "gh/pair/+/hello"
#define TOPIC_PAIR_OFFER_FORMAT  "gh/pair/%s/offer"
#define TOPIC_PAIR_COMMIT_FILTER "gh/pair/+/commit"
#define TOPIC_PAIR_REFUSE_FILTER "gh/pair/+/refuse"
