/* SPDX-License-Identifier: Apache-2.0 */

/* UpdateFeatures. The one feature of a cluster is metadata.version, the level of its records, and this release
 * knows one level: what is asked is held against it as Kafka's FeatureControlManager does, and nothing else
 * than what is there can be asked for with success. */
#include "meta/controller_private.h"
#include "meta/records.h"

int controller_update_feature(const struct controller *c, struct meta_op *op)
{
    int16_t now = -1;
    for (uint32_t i = 0; i < image_feature_count(c->image); i++) {
        const struct image_feature *f = image_feature_at(c->image, i);
        now = strcmp(f->name, op->feature) == 0 ? f->level : now;
    }
    if (strcmp(op->feature, "metadata.version") != 0) {
        return controller_refuse(
            op, ERR_INVALID_UPDATE_VERSION,
            "Invalid update version %d for feature %.60s: no broker supports this "
            "feature.",
            (int)op->feature_level, op->feature);
    }
    if (op->feature_change < META_FEATURE_UPGRADE ||
        op->feature_change > META_FEATURE_UNSAFE_DOWNGRADE) {
        return controller_refuse(
            op, ERR_INVALID_REQUEST,
            "The upgrade type of a feature is 1 (upgrade), 2 (safe downgrade) or 3 "
            "(unsafe downgrade).");
    }
    if (op->feature_level != METADATA_VERSION) {
        return controller_refuse(
            op, ERR_INVALID_UPDATE_VERSION,
            "Invalid update version %d for feature metadata.version: this release "
            "supports version %d alone.",
            (int)op->feature_level, (int)METADATA_VERSION);
    }
    if (now >= 0 && op->feature_level < now && op->feature_change == META_FEATURE_UPGRADE) {
        return controller_refuse(
            op, ERR_INVALID_UPDATE_VERSION,
            "Can't downgrade metadata.version from %d without setting the upgrade "
            "type to a downgrade.",
            (int)now);
    }
    return 0;
}
