/* SPDX-License-Identifier: Apache-2.0 */

/* See stated.h. */
#include "meta/meta_start.h"

#include "config/config.h"

static const uint64_t again_ns = UINT64_C(10000000000);

static const char *key_name(void)
{
    return config_key_info(CONFIG_MIN_INSYNC_REPLICAS)->name;
}

static bool has_value(const struct image *image)
{
    return image_broker_config(image, -1, key_name()) != NULL;
}

void stated_lead(struct meta *m)
{
    m->stated.at_ns = 0;
}

static void stated(struct meta_op *op)
{
    struct meta *m = container_of(op, struct meta, stated.op);
    struct stated *s = &m->stated;
    s->under_way = false;
    if (!op->error) {
        s->at_ns = UINT64_MAX;
        log_info(io_logger(m->io), "meta",
                 "%s is %d for the whole cluster from now on, as this node's configuration says",
                 key_name(), (int)m->options.min_isr);
        return;
    }
    s->at_ns = io_now(m->io) + again_ns;
    if (op->error != ERR_NOT_CONTROLLER && op->error != ERR_CLOSED) {
        log_warn(io_logger(m->io), "meta",
                 "%s is %d for the whole cluster, not %d as this node's configuration says, which "
                 "cannot be written: %s",
                 key_name(), (int)image_cluster_min_isr(m->image), (int)m->options.min_isr,
                 op->why);
    }
}

void stated_look(struct meta *m)
{
    struct stated *s = &m->stated;
    bool decides = m->leading && !m->busy && !m->appending && m->state != META_CLOSING &&
                   (m->state == META_ACTIVE || !start_is_alone(m));
    if (!decides || s->under_way || io_now(m->io) < s->at_ns) {
        return;
    }
    if (m->options.min_isr <= 0 || has_value(m->image)) {
        s->at_ns = UINT64_MAX;
        return;
    }
    s->op = (struct meta_op){.done = stated, .kind = META_STATE_CONFIGS};
    s->op.priv.shard = io_shard(m->io);
    s->op.priv.meta = m;
    s->op.priv.arrived_ns = io_now(m->io);
    s->under_way = true;
    list_append(m->waiting.next, &s->op.priv.link); /* in front: the ring begins there */
}

void stated_say(struct meta *m)
{
    struct stated *s = &m->stated;
    int32_t own = m->options.min_isr, counts = image_cluster_min_isr(m->image);
    bool comes = m->leading && !has_value(m->image);
    if (m->state != META_ACTIVE || own <= 0 || comes) {
        return;
    }
    if (own == counts) {
        s->said = 0;
    } else if (s->said != counts) {
        s->said = counts;
        log_warn(io_logger(m->io), "meta",
                 "%s is %d for the whole cluster, not %d as this node's configuration says: "
                 "leat cluster config --all --set %s=%d changes it",
                 key_name(), (int)counts, (int)own, key_name(), (int)own);
    }
}
