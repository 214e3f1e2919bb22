/* SPDX-License-Identifier: Apache-2.0 */

/* AlterConfigs, which replaces all configurations of a resource, and IncrementalAlterConfigs
 * (KIP-339), which changes those that it names. The wire's numbers of the operations are those of
 * the meta room. */
#include "api/admin.h"
#include "api/configs.h"

static_assert((int)META_CONFIG_SET == 0 && (int)META_CONFIG_DELETE == 1 &&
                  (int)META_CONFIG_APPEND == 2 && (int)META_CONFIG_SUBTRACT == 3,
              "the wire's numbers");

static void resource_prepare(struct api_request *r, struct admin_op *op, int8_t type,
                             struct wire_string name)
{
    if (type == RESOURCE_TOPIC) {
        op->op.topic = admin_string(r, name);
        if (!op->op.topic) {
            admin_refuse(op, ERR_UNKNOWN_TOPIC_OR_PARTITION, NULL);
        }
    } else if (type == RESOURCE_BROKER) {
        if (configs_node(name, &op->op.broker) != 0) {
            admin_refuse(op, ERR_INVALID_REQUEST, "a broker is named by its number");
        }
    } else {
        admin_refuse(op, ERR_INVALID_REQUEST, "only topics and brokers have configurations here");
    }
}

/* --- AlterConfigs ----------------------------------------------------------------------------- */

static void alter_answer(struct admin *a)
{
    struct api_request *r = a->request;
    const struct alter_configs_request *q = a->response;
    struct alter_configs_response response;
    alter_configs_response_init(&response);
    response.responses = api_alloc(r, a->count, sizeof *response.responses);
    if (!response.responses) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    response.responses_count = (int32_t)a->count;
    for (uint32_t i = 0; i < a->count; i++) {
        response.responses[i] = (struct alter_configs_response_responses){
            admin_error(&a->ops[i]), admin_message(&a->ops[i]), q->resources[i].resource_type,
            q->resources[i].resource_name};
    }
    api_respond(r, &response);
}

static int alter_prepare(struct api_request *r, struct admin_op *op,
                         const struct alter_configs_request_resources *in)
{
    struct meta_config_change *changes = api_alloc(r, (size_t)in->configs_count, sizeof *changes);
    if (!changes) {
        return ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < in->configs_count && !op->done; i++) {
        changes[i].key = admin_string(r, in->configs[i].name);
        changes[i].value = admin_string(r, in->configs[i].value);
        if (!changes[i].key || !changes[i].value) {
            admin_refuse(op, ERR_INVALID_REQUEST, "names and values of configurations are texts");
        } else {
            admin_note_ignored(op, changes[i].key);
        }
    }
    op->op.replace_all = true;
    op->op.changes = changes;
    op->op.change_count = (uint32_t)in->configs_count;
    return 0;
}

void handle_alter_configs(struct api_request *r)
{
    struct alter_configs_request *q = api_decode(r);
    struct admin *a = q ? admin_new(r, (size_t)q->resources_count, META_ALTER_CONFIGS,
                                    q->validate_only, alter_answer)
                        : NULL;
    if (!a) {
        return;
    }
    a->response = q;
    for (int32_t i = 0; i < q->resources_count; i++) {
        resource_prepare(r, &a->ops[i], q->resources[i].resource_type,
                         q->resources[i].resource_name);
        if (alter_prepare(r, &a->ops[i], &q->resources[i]) != 0) {
            api_close(r, error_text(ERR_NO_MEMORY));
            return;
        }
    }
    admin_go(a, 0);
}

/* --- IncrementalAlterConfigs ------------------------------------------------------------------ */

static void incremental_answer(struct admin *a)
{
    struct api_request *r = a->request;
    const struct incremental_alter_configs_request *q = a->response;
    struct incremental_alter_configs_response response;
    incremental_alter_configs_response_init(&response);
    response.responses = api_alloc(r, a->count, sizeof *response.responses);
    if (!response.responses) {
        api_close(r, error_text(ERR_NO_MEMORY));
        return;
    }
    response.responses_count = (int32_t)a->count;
    for (uint32_t i = 0; i < a->count; i++) {
        response.responses[i] = (struct incremental_alter_configs_response_responses){
            admin_error(&a->ops[i]), admin_message(&a->ops[i]), q->resources[i].resource_type,
            q->resources[i].resource_name};
    }
    api_respond(r, &response);
}

static int incremental_prepare(struct api_request *r, struct admin_op *op,
                               const struct incremental_alter_configs_request_resources *in)
{
    struct meta_config_change *changes = api_alloc(r, (size_t)in->configs_count, sizeof *changes);
    if (!changes) {
        return ERR_NO_MEMORY;
    }
    for (int32_t i = 0; i < in->configs_count && !op->done; i++) {
        const struct incremental_alter_configs_request_configs *c = &in->configs[i];
        if (c->config_operation < META_CONFIG_SET || c->config_operation > META_CONFIG_SUBTRACT) {
            admin_refuse(op, ERR_INVALID_REQUEST, "an unknown operation on a configuration");
            break;
        }
        changes[i].op = (enum meta_config_op)c->config_operation;
        changes[i].key = admin_string(r, c->name);
        changes[i].value = changes[i].op == META_CONFIG_DELETE ? NULL : admin_string(r, c->value);
        if (!changes[i].key || (changes[i].op != META_CONFIG_DELETE && !changes[i].value)) {
            admin_refuse(op, ERR_INVALID_REQUEST, "names and values of configurations are texts");
        } else {
            admin_note_ignored(op, changes[i].key);
        }
    }
    op->op.changes = changes;
    op->op.change_count = (uint32_t)in->configs_count;
    return 0;
}

void handle_incremental_alter_configs(struct api_request *r)
{
    struct incremental_alter_configs_request *q = api_decode(r);
    struct admin *a = q ? admin_new(r, (size_t)q->resources_count, META_ALTER_CONFIGS,
                                    q->validate_only, incremental_answer)
                        : NULL;
    if (!a) {
        return;
    }
    a->response = q;
    for (int32_t i = 0; i < q->resources_count; i++) {
        resource_prepare(r, &a->ops[i], q->resources[i].resource_type,
                         q->resources[i].resource_name);
        if (incremental_prepare(r, &a->ops[i], &q->resources[i]) != 0) {
            api_close(r, error_text(ERR_NO_MEMORY));
            return;
        }
    }
    admin_go(a, 0);
}
