/* SPDX-License-Identifier: Apache-2.0 */
/* librdkafka's administration: each call is sent, its answer is awaited, and every error in it ends the program. */
#include "librdkafka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A node knows a little later than the controller what has been decided: it is asked so often. */
enum { ASKED_MAX = 1000, ASK_AGAIN_MS = 10 };

/* The answer to what was sent with this queue; takes the queue. */
static rd_kafka_event_t *answer(rd_kafka_queue_t *queue)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, LIMIT_MS);
    require(event != NULL, "an administration call has no answer");
    require(!rd_kafka_event_error(event), "%s: %s", rd_kafka_event_name(event),
            rd_kafka_event_error_string(event));
    rd_kafka_queue_destroy(queue);
    return event;
}

static rd_kafka_resp_err_t topic_error(const rd_kafka_topic_result_t **results, size_t count)
{
    require(count == 1, "%zu results for a topic", count);
    return rd_kafka_topic_result_error(results[0]);
}

rd_kafka_resp_err_t topic_create(rd_kafka_t *admin, const char *topic, int partitions,
                                 const char *config, const char *value)
{
    rd_kafka_NewTopic_t *new = rd_kafka_NewTopic_new(topic, partitions, -1, NULL, 0);
    if (config)
        require(!rd_kafka_NewTopic_set_config(new, config, value), "%s", config);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin);
    rd_kafka_CreateTopics(admin, &new, 1, NULL, queue);
    rd_kafka_event_t *event = answer(queue);
    size_t count;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    rd_kafka_resp_err_t error = topic_error(results, count);
    rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy(new);
    return error;
}

static int topic_partitions(rd_kafka_t *admin, const char *topic)
{
    const struct rd_kafka_metadata *metadata;
    require(!rd_kafka_metadata(admin, 1, NULL, &metadata, LIMIT_MS), "metadata");
    int found = 0;
    for (int i = 0; i < metadata->topic_cnt; i++)
        if (strcmp(metadata->topics[i].topic, topic) == 0)
            found = metadata->topics[i].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    return found;
}

void await_partitions(rd_kafka_t *admin, const char *topic, int partitions)
{
    for (int asked = 1; topic_partitions(admin, topic) != partitions; asked++) {
        require(asked < ASKED_MAX, "%s has other partitions than %d", topic, partitions);
        rd_kafka_poll(admin, ASK_AGAIN_MS);
    }
}

static void topic_grow(rd_kafka_t *admin, const char *topic, size_t partitions)
{
    char why[256];
    rd_kafka_NewPartitions_t *new = rd_kafka_NewPartitions_new(topic, partitions, why, sizeof(why));
    require(new != NULL, "%s", why);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin);
    rd_kafka_CreatePartitions(admin, &new, 1, NULL, queue);
    rd_kafka_event_t *event = answer(queue);
    size_t count;
    const rd_kafka_topic_result_t **results = rd_kafka_CreatePartitions_result_topics(
        rd_kafka_event_CreatePartitions_result(event), &count);
    require(!topic_error(results, count), "CreatePartitions");
    rd_kafka_event_destroy(event);
    rd_kafka_NewPartitions_destroy(new);
}

static void topic_delete(rd_kafka_t *admin, const char *topic)
{
    rd_kafka_DeleteTopic_t *gone = rd_kafka_DeleteTopic_new(topic);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin);
    rd_kafka_DeleteTopics(admin, &gone, 1, NULL, queue);
    rd_kafka_event_t *event = answer(queue);
    size_t count;
    const rd_kafka_topic_result_t **results =
        rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
    require(!topic_error(results, count), "DeleteTopics");
    rd_kafka_event_destroy(event);
    rd_kafka_DeleteTopic_destroy(gone);
}

static bool has_config(rd_kafka_t *admin, const char *topic, const char *name, const char *value)
{
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin);
    rd_kafka_DescribeConfigs(admin, &resource, 1, NULL, queue);
    rd_kafka_event_t *event = answer(queue);
    size_t count, entries;
    const rd_kafka_ConfigResource_t **results = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(event), &count);
    require(count == 1, "DescribeConfigs");
    const rd_kafka_ConfigEntry_t **entry = rd_kafka_ConfigResource_configs(results[0], &entries);
    const char *found = "";
    for (size_t i = 0; i < entries; i++)
        if (strcmp(rd_kafka_ConfigEntry_name(entry[i]), name) == 0)
            found = rd_kafka_ConfigEntry_value(entry[i]);
    bool same = strcmp(found, value) == 0;
    rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy(resource);
    return same;
}

static void await_config(rd_kafka_t *admin, const char *topic, const char *name, const char *value)
{
    for (int asked = 1; !has_config(admin, topic, name, value); asked++) {
        require(asked < ASKED_MAX, "%s of %s is not \"%s\"", name, topic, value);
        rd_kafka_poll(admin, ASK_AGAIN_MS);
    }
}

static void alter_config(rd_kafka_t *admin, const char *topic, const char *name, const char *value)
{
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    require(!rd_kafka_ConfigResource_set_config(resource, name, value), "%s", name);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin);
    rd_kafka_AlterConfigs(admin, &resource, 1, NULL, queue);
    rd_kafka_event_t *event = answer(queue);
    size_t count;
    const rd_kafka_ConfigResource_t **results =
        rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event), &count);
    require(count == 1 && !rd_kafka_ConfigResource_error(results[0]), "AlterConfigs");
    rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy(resource);
}

static rd_kafka_topic_partition_list_t *one_offset(const char *topic, int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, 0)->offset = offset;
    return list;
}

/* Of partition 0. */
static void delete_records(rd_kafka_t *admin, const char *topic, int64_t before)
{
    rd_kafka_topic_partition_list_t *list = one_offset(topic, before);
    rd_kafka_DeleteRecords_t *request = rd_kafka_DeleteRecords_new(list);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin);
    rd_kafka_DeleteRecords(admin, &request, 1, NULL, queue);
    rd_kafka_event_t *event = answer(queue);
    const rd_kafka_topic_partition_list_t *results =
        rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event));
    require(results->cnt == 1 && !results->elems[0].err, "DeleteRecords");
    rd_kafka_event_destroy(event);
    rd_kafka_DeleteRecords_destroy(request);
    rd_kafka_topic_partition_list_destroy(list);
    int64_t low, high;
    require(!rd_kafka_query_watermark_offsets(admin, topic, 0, &low, &high, LIMIT_MS),
            "watermarks");
    require(low == before && high == 10, "the watermarks are %lld and %lld", (long long)low,
            (long long)high);
}

static bool group_is_listed(rd_kafka_t *admin, const char *group)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin);
    rd_kafka_ListConsumerGroups(admin, NULL, queue);
    rd_kafka_event_t *event = answer(queue);
    size_t count;
    const rd_kafka_ConsumerGroupListing_t **listed = rd_kafka_ListConsumerGroups_result_valid(
        rd_kafka_event_ListConsumerGroups_result(event), &count);
    bool found = false;
    for (size_t i = 0; i < count; i++)
        if (strcmp(rd_kafka_ConsumerGroupListing_group_id(listed[i]), group) == 0)
            found = true;
    rd_kafka_event_destroy(event);
    return found;
}

static void require_group(rd_kafka_t *admin, const char *group,
                          rd_kafka_consumer_group_state_t state, size_t members)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin);
    rd_kafka_DescribeConsumerGroups(admin, &group, 1, NULL, queue);
    rd_kafka_event_t *event = answer(queue);
    size_t count;
    const rd_kafka_ConsumerGroupDescription_t **described =
        rd_kafka_DescribeConsumerGroups_result_groups(
            rd_kafka_event_DescribeConsumerGroups_result(event), &count);
    require(count == 1 && !rd_kafka_ConsumerGroupDescription_error(described[0]),
            "DescribeConsumerGroups");
    require(
        rd_kafka_ConsumerGroupDescription_state(described[0]) == state, "the group is %s",
        rd_kafka_consumer_group_state_name(rd_kafka_ConsumerGroupDescription_state(described[0])));
    require(rd_kafka_ConsumerGroupDescription_member_count(described[0]) == members,
            "the group has %zu members",
            rd_kafka_ConsumerGroupDescription_member_count(described[0]));
    rd_kafka_event_destroy(event);
}

static void require_group_result(const rd_kafka_group_result_t **results, size_t count,
                                 const char *what)
{
    require(count == 1 && !rd_kafka_group_result_error(results[0]), "%s", what);
}

/* Alters the offset of partition 0 and looks at what the group has then. */
static void alter_group_offset(rd_kafka_t *admin, const char *group, const char *topic,
                               int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = one_offset(topic, offset);
    rd_kafka_AlterConsumerGroupOffsets_t *request =
        rd_kafka_AlterConsumerGroupOffsets_new(group, list);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin);
    rd_kafka_AlterConsumerGroupOffsets(admin, &request, 1, NULL, queue);
    rd_kafka_event_t *event = answer(queue);
    size_t count;
    const rd_kafka_group_result_t **results = rd_kafka_AlterConsumerGroupOffsets_result_groups(
        rd_kafka_event_AlterConsumerGroupOffsets_result(event), &count);
    require_group_result(results, count, "AlterConsumerGroupOffsets");
    rd_kafka_event_destroy(event);
    rd_kafka_AlterConsumerGroupOffsets_destroy(request);

    rd_kafka_ListConsumerGroupOffsets_t *question =
        rd_kafka_ListConsumerGroupOffsets_new(group, list);
    queue = rd_kafka_queue_new(admin);
    rd_kafka_ListConsumerGroupOffsets(admin, &question, 1, NULL, queue);
    event = answer(queue);
    results = rd_kafka_ListConsumerGroupOffsets_result_groups(
        rd_kafka_event_ListConsumerGroupOffsets_result(event), &count);
    require_group_result(results, count, "ListConsumerGroupOffsets");
    const rd_kafka_topic_partition_list_t *had = rd_kafka_group_result_partitions(results[0]);
    require(had->cnt == 1 && had->elems[0].offset == offset, "the group's offset was not altered");
    rd_kafka_event_destroy(event);
    rd_kafka_ListConsumerGroupOffsets_destroy(question);
    rd_kafka_topic_partition_list_destroy(list);
}

static void group_delete(rd_kafka_t *admin, const char *group)
{
    rd_kafka_DeleteGroup_t *gone = rd_kafka_DeleteGroup_new(group);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin);
    rd_kafka_DeleteGroups(admin, &gone, 1, NULL, queue);
    rd_kafka_event_t *event = answer(queue);
    size_t count;
    const rd_kafka_group_result_t **results =
        rd_kafka_DeleteGroups_result_groups(rd_kafka_event_DeleteGroups_result(event), &count);
    require_group_result(results, count, "DeleteGroups");
    rd_kafka_event_destroy(event);
    rd_kafka_DeleteGroup_destroy(gone);
}

static void group_administration(rd_kafka_t *admin, const char *address)
{
    rd_kafka_t *member = client_new(RD_KAFKA_CONSUMER, address,
                                    (const char *[]){"group.id=admin", "enable.auto.commit=false",
                                                     "auto.offset.reset=earliest", NULL});
    rd_kafka_poll_set_consumer(member);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, "admin", RD_KAFKA_PARTITION_UA);
    require(!rd_kafka_subscribe(member, topics), "subscribe");
    rd_kafka_topic_partition_list_destroy(topics);
    rd_kafka_message_t *m = rd_kafka_consumer_poll(member, LIMIT_MS);
    require(m && !m->err, "nothing comes");
    rd_kafka_message_destroy(m);
    require(group_is_listed(admin, "admin"), "the group is not listed");
    require_group(admin, "admin", RD_KAFKA_CONSUMER_GROUP_STATE_STABLE, 1);
    reader_free(member);
    alter_group_offset(admin, "admin", "admin", 5);
    group_delete(admin, "admin");
    require(!group_is_listed(admin, "admin"), "the group was not deleted");
}

void administration(rd_kafka_t *admin, const char *address)
{
    require(!topic_create(admin, "admin", 2, "retention.ms", "3600000"), "create admin");
    require(topic_create(admin, "admin", 2, NULL, NULL) == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS,
            "a topic was made twice");
    await_config(admin, "admin", "retention.ms", "3600000");
    alter_config(admin, "admin", "retention.ms", "7200000");
    await_config(admin, "admin", "retention.ms", "7200000");
    topic_grow(admin, "admin", 5);
    await_partitions(admin, "admin", 5);
    for (int i = 0; i < 10; i++)
        publish(admin, "admin", &(struct giving){.value = "v"});
    flush(admin);
    delete_records(admin, "admin", 4);
    group_administration(admin, address);
    topic_delete(admin, "admin");
    await_partitions(admin, "admin", 0);
}
