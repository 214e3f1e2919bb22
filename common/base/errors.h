/* SPDX-License-Identifier: Apache-2.0 */

/* errors: one table for every error that crosses a function, the wire or the client's API.
 *
 * A fallible function returns 0 (or a count >= 0) or one of these negative numbers. Kafka's error
 * codes keep their number, negated; UNKNOWN_SERVER_ERROR, which is -1 on the wire, is -1099 here,
 * and our own errors begin at -1000. The table holds for each: name, number, code on the wire,
 * whether trying again can help, and the sentence that a person reads. */
#pragma once

#include "base/assert.h"

#include <stdint.h>

/*     name                              number wire retriable text */
#define ERROR_TABLE(X)                                                                             \
    X(OFFSET_OUT_OF_RANGE, -1, 1, false, "the offset is outside the range that the log holds")     \
    X(CORRUPT_MESSAGE, -2, 2, true, "the bytes fail their checksum or are malformed")              \
    X(UNKNOWN_TOPIC_OR_PARTITION, -3, 3, true, "this server does not host this topic-partition")   \
    X(INVALID_FETCH_SIZE, -4, 4, false, "the requested fetch size is invalid")                     \
    X(LEADER_NOT_AVAILABLE, -5, 5, true, "there is no leader for this topic-partition yet")        \
    X(NOT_LEADER_OR_FOLLOWER, -6, 6, true, "this server is not the leader of the partition")       \
    X(REQUEST_TIMED_OUT, -7, 7, true, "the request timed out on the server")                       \
    X(BROKER_NOT_AVAILABLE, -8, 8, false, "the broker is not available")                           \
    X(REPLICA_NOT_AVAILABLE, -9, 9, true, "the replica is not available")                          \
    X(MESSAGE_TOO_LARGE, -10, 10, false, "the batch is larger than the topic's max.message.bytes") \
    X(STALE_CONTROLLER_EPOCH, -11, 11, false, "the controller has moved to another broker")        \
    X(OFFSET_METADATA_TOO_LARGE, -12, 12, false, "the metadata of the offset is too large")        \
    X(NETWORK_EXCEPTION, -13, 13, true, "the server disconnected before an answer came")           \
    X(COORDINATOR_LOAD_IN_PROGRESS, -14, 14, true, "the coordinator is loading")                   \
    X(COORDINATOR_NOT_AVAILABLE, -15, 15, true, "the coordinator is not available")                \
    X(NOT_COORDINATOR, -16, 16, true, "this is not the right coordinator")                         \
    X(INVALID_TOPIC, -17, 17, false, "the topic name is invalid: 1 to 249 of [a-zA-Z0-9._-]")      \
    X(RECORD_LIST_TOO_LARGE, -18, 18, false, "the batch is larger than a segment may be")          \
    X(NOT_ENOUGH_REPLICAS, -19, 19, true, "fewer in-sync replicas than required")                  \
    X(NOT_ENOUGH_REPLICAS_AFTER_APPEND, -20, 20, true, "written, but to too few replicas")         \
    X(INVALID_REQUIRED_ACKS, -21, 21, false, "acks must be 0, 1 or -1 (all)")                      \
    X(ILLEGAL_GENERATION, -22, 22, false, "the group's generation id is not valid")                \
    X(INCONSISTENT_GROUP_PROTOCOL, -23, 23, false, "no protocol is common to all members")         \
    X(INVALID_GROUP_ID, -24, 24, false, "the group id is invalid")                                 \
    X(UNKNOWN_MEMBER_ID, -25, 25, false, "the coordinator does not know this member")              \
    X(INVALID_SESSION_TIMEOUT, -26, 26, false, "the session timeout is outside the allowed range") \
    X(REBALANCE_IN_PROGRESS, -27, 27, false, "the group is rebalancing: rejoin")                   \
    X(INVALID_COMMIT_OFFSET_SIZE, -28, 28, false, "the committed offset data is too large")        \
    X(TOPIC_AUTHORIZATION_FAILED, -29, 29, false, "not authorized for this topic")                 \
    X(GROUP_AUTHORIZATION_FAILED, -30, 30, false, "not authorized for this group")                 \
    X(CLUSTER_AUTHORIZATION_FAILED, -31, 31, false, "not authorized for the cluster")              \
    X(INVALID_TIMESTAMP, -32, 32, false, "a record's timestamp is out of the accepted range")      \
    X(UNSUPPORTED_SASL_MECHANISM, -33, 33, false, "the broker does not offer this SASL mechanism") \
    X(ILLEGAL_SASL_STATE, -34, 34, false, "the request is not valid in this SASL state")           \
    X(UNSUPPORTED_VERSION, -35, 35, false, "the server does not support this API version")         \
    X(TOPIC_ALREADY_EXISTS, -36, 36, false, "a topic of this name exists already")                 \
    X(INVALID_PARTITIONS, -37, 37, false, "the number of partitions is invalid")                   \
    X(INVALID_REPLICATION_FACTOR, -38, 38, false, "the replication factor cannot be met")          \
    X(INVALID_REPLICA_ASSIGNMENT, -39, 39, false, "the replica assignment is invalid")             \
    X(INVALID_CONFIG, -40, 40, false, "the configuration is invalid")                              \
    X(NOT_CONTROLLER, -41, 41, true, "this is not the active controller")                          \
    X(INVALID_REQUEST, -42, 42, false, "the request is malformed or contradicts itself")           \
    X(UNSUPPORTED_FOR_MESSAGE_FORMAT, -43, 43, false, "the message format does not support this")  \
    X(POLICY_VIOLATION, -44, 44, false, "the request violates a policy")                           \
    X(OUT_OF_ORDER_SEQUENCE, -45, 45, false, "the producer's sequence has a gap")                  \
    X(DUPLICATE_SEQUENCE, -46, 46, false, "the producer's sequence was seen before")               \
    X(INVALID_PRODUCER_EPOCH, -47, 47, false, "the producer's epoch is older than the newest")     \
    X(INVALID_TXN_STATE, -48, 48, false, "the transaction is not in a fitting state")              \
    X(INVALID_PRODUCER_ID_MAPPING, -49, 49, false,                                                 \
      "the producer id is not that of this "                                                       \
      "transactional id")                                                                          \
    X(INVALID_TRANSACTION_TIMEOUT, -50, 50, false, "the transaction timeout exceeds the maximum")  \
    X(CONCURRENT_TRANSACTIONS, -51, 51, true, "the previous transaction is still completing")      \
    X(TRANSACTION_COORDINATOR_FENCED, -52, 52, false, "the transaction coordinator was fenced")    \
    X(TRANSACTIONAL_ID_AUTHORIZATION_FAILED, -53, 53, false,                                       \
      "not authorized for this "                                                                   \
      "transactional id")                                                                          \
    X(SECURITY_DISABLED, -54, 54, false, "security features are disabled")                         \
    X(OPERATION_NOT_ATTEMPTED, -55, 55, false, "not attempted, because another part failed")       \
    X(KAFKA_STORAGE_ERROR, -56, 56, true, "the disk cannot take or give this data now")            \
    X(LOG_DIR_NOT_FOUND, -57, 57, false, "the log directory is not known")                         \
    X(SASL_AUTHENTICATION_FAILED, -58, 58, false, "authentication failed")                         \
    X(UNKNOWN_PRODUCER_ID, -59, 59, false, "the broker knows nothing of this producer id")         \
    X(REASSIGNMENT_IN_PROGRESS, -60, 60, false, "a reassignment is in progress")                   \
    X(NON_EMPTY_GROUP, -68, 68, false, "the group is not empty")                                   \
    X(GROUP_ID_NOT_FOUND, -69, 69, false, "there is no such group")                                \
    X(FETCH_SESSION_ID_NOT_FOUND, -70, 70, true, "the fetch session is not known")                 \
    X(INVALID_FETCH_SESSION_EPOCH, -71, 71, true, "the fetch session's epoch is wrong")            \
    X(LISTENER_NOT_FOUND, -72, 72, true, "the leader has no listener of this name")                \
    X(TOPIC_DELETION_DISABLED, -73, 73, false, "deleting topics is disabled")                      \
    X(FENCED_LEADER_EPOCH, -74, 74, true, "the leader epoch is older than the server's")           \
    X(UNKNOWN_LEADER_EPOCH, -75, 75, true, "the leader epoch is newer than the server's")          \
    X(UNSUPPORTED_COMPRESSION_TYPE, -76, 76, false, "this version does not carry this codec")      \
    X(STALE_BROKER_EPOCH, -77, 77, false, "the broker epoch is stale")                             \
    X(OFFSET_NOT_AVAILABLE, -78, 78, true, "the new leader's high watermark lags: try again")      \
    X(MEMBER_ID_REQUIRED, -79, 79, false, "join again with the member id that was given")          \
    X(PREFERRED_LEADER_NOT_AVAILABLE, -80, 80, true, "the preferred leader is not available")      \
    X(GROUP_MAX_SIZE_REACHED, -81, 81, false, "the group has as many members as it may")           \
    X(FENCED_INSTANCE_ID, -82, 82, false, "a newer member holds this instance id")                 \
    X(ELIGIBLE_LEADERS_NOT_AVAILABLE, -83, 83, true, "no eligible leader is available")            \
    X(ELECTION_NOT_NEEDED, -84, 84, true, "no election is needed")                                 \
    X(NO_REASSIGNMENT_IN_PROGRESS, -85, 85, false, "there is no reassignment in progress")         \
    X(GROUP_SUBSCRIBED_TO_TOPIC, -86, 86, false, "a member of the group subscribes to the topic")  \
    X(INVALID_RECORD, -87, 87, false, "a record fails the topic's rules")                          \
    X(UNSTABLE_OFFSET_COMMIT, -88, 88, true, "offsets of an open transaction are pending")         \
    X(THROTTLING_QUOTA_EXCEEDED, -89, 89, true, "the quota is exceeded")                           \
    X(PRODUCER_FENCED, -90, 90, false, "a newer producer with this id has taken over")             \
    X(RESOURCE_NOT_FOUND, -91, 91, false, "there is no such resource")                             \
    X(DUPLICATE_RESOURCE, -92, 92, false, "the resource is named twice")                           \
    X(UNACCEPTABLE_CREDENTIAL, -93, 93, false, "the credential does not meet the requirements")    \
    X(INCONSISTENT_VOTER_SET, -94, 94, false, "the voter sets differ")                             \
    X(INVALID_UPDATE_VERSION, -95, 95, false, "the update version is invalid")                     \
    X(FEATURE_UPDATE_FAILED, -96, 96, false, "the feature cannot be updated")                      \
    X(SNAPSHOT_NOT_FOUND, -98, 98, false, "there is no such snapshot")                             \
    X(POSITION_OUT_OF_RANGE, -99, 99, false, "the position is outside the snapshot")               \
    X(UNKNOWN_TOPIC_ID, -100, 100, true, "this server does not host this topic id")                \
    X(DUPLICATE_BROKER_REGISTRATION, -101, 101, false, "this node id is in use")                   \
    X(BROKER_ID_NOT_REGISTERED, -102, 102, false, "the broker id is not registered")               \
    X(INCONSISTENT_TOPIC_ID, -103, 103, true, "the topic id is not that of the log")               \
    X(INCONSISTENT_CLUSTER_ID, -104, 104, false, "the cluster ids differ")                         \
    X(FETCH_SESSION_TOPIC_ID_ERROR, -106, 106, true, "the session uses topic ids differently")     \
    X(INELIGIBLE_REPLICA, -107, 107, false, "the replica may not join the in-sync set")            \
    X(NEW_LEADER_ELECTED, -108, 108, false, "the change elected another leader")                   \
    X(INVALID_REGISTRATION, -119, 119, false, "the registration is invalid")                       \
    X(INVALID_VOTER_KEY, -125, 125, false, "the request is for a voter in another directory")      \
    X(DUPLICATE_VOTER, -126, 126, false, "the node votes already")                                 \
    X(VOTER_NOT_FOUND, -127, 127, false, "there is no such voter")                                 \
    X(REBOOTSTRAP_REQUIRED, -129, 129, false, "the client must look up its brokers anew")          \
    X(TIMEOUT, -1001, 7, true, "no answer came in time")                                           \
    X(CLOSED, -1002, 13, true, "the connection or handle is closed")                               \
    X(NO_MEMORY, -1003, -1, true, "the memory budget is used up")                                  \
    X(BAD_CONFIG, -1004, 40, false, "a configuration value is wrong")                              \
    X(UNREACHABLE, -1005, 13, true, "no broker can be reached")                                    \
    X(MALFORMED, -1006, 42, false, "the bytes do not follow their format")                         \
    X(TOO_LARGE, -1007, 10, false, "a size or count is above its limit")                           \
    X(DISK_FULL, -1008, 56, true, "the disk is full")                                              \
    X(DISK_FAILED, -1009, 56, false, "the disk reported an error")                                 \
    X(DAMAGED, -1010, 56, false, "stored data is damaged below the durable mark")                  \
    X(NOT_FOUND, -1011, 91, false, "there is no such thing")                                       \
    X(EXISTS, -1012, 92, false, "it exists already")                                               \
    X(BUSY, -1013, 7, true, "a limit of things in progress is reached")                            \
    X(INTERRUPTED, -1014, 7, true, "the call was interrupted")                                     \
    X(INVALID_ARGUMENT, -1015, 42, false, "an argument is outside its range")                      \
    X(UNSUPPORTED, -1016, 35, false, "this is not supported")                                      \
    X(REFUSED, -1017, 13, true, "the connection was refused: nothing listens there")               \
    X(UNKNOWN_SERVER_ERROR, -1099, -1, true, "the server met an error that it did not expect")

enum err {
    ERR_NONE = 0,
#define ERROR_NUMBER(name, number, wire, retriable, text) ERR_##name = number,
    ERROR_TABLE(ERROR_NUMBER)
#undef ERROR_NUMBER
};

/* The table's name of an error ("NOT_LEADER_OR_FOLLOWER"); "NONE" for 0, "UNKNOWN" otherwise. */
const char *error_name(int error);

/* A sentence for people, without a full stop. Never NULL. */
const char *error_text(int error);

/* Whether the same request may succeed later. */
bool error_is_retriable(int error);

/* The code that Kafka's wire carries for `error` (0 for success), and the way back. */
int16_t error_to_wire(int error);
int error_from_wire(int16_t code);

/* Translates a negative errno of the I/O seam; `number` is < 0. */
int error_from_errno(int64_t number);
