/* SPDX-License-Identifier: Apache-2.0 */

/* UpdateFeatures: the level of metadata.version, of which this release knows one. From version 2 on the
 * first error is that of the whole. */
#include "api/admin.h"

enum { FEATURES_MAX = 100 };

static int put_results(struct api_request *r, const struct admin *a,
                       struct update_features_response *out)
{
    const struct update_features_request *in = a->response;
    out->results = api_alloc(r, a->count, sizeof *out->results);
    if (!out->results) {
        return ERR_NO_MEMORY;
    }
    out->results_count = (int32_t)a->count;
    for (uint32_t i = 0; i < a->count; i++) {
        out->results[i] = (struct update_features_response_results){
            in->feature_updates[i].feature, admin_error(&a->ops[i]), admin_message(&a->ops[i])};
    }
    return 0;
}

static void answer(struct admin *a)
{
    struct api_request *r = a->request;
    struct update_features_response response;
    update_features_response_init(&response);
    response.error_message = wire_string_null();
    if (api_version(r) < 2) {
        if (put_results(r, a, &response) != 0) {
            api_close(r, error_text(ERR_NO_MEMORY));
            return;
        }
    } else {
        for (uint32_t i = 0; i < a->count && !response.error_code; i++) {
            response.error_code = admin_error(&a->ops[i]);
            response.error_message = admin_message(&a->ops[i]);
        }
    }
    api_respond(r, &response);
}

void handle_update_features(struct api_request *r)
{
    struct update_features_request *in = api_decode(r);
    if (!in) {
        return;
    }
    if (in->feature_updates_count > FEATURES_MAX) {
        api_close(r, "too many features in one request");
        return;
    }
    struct admin *a = admin_new(r, (size_t)in->feature_updates_count, META_UPDATE_FEATURE,
                                in->validate_only, answer);
    if (!a) {
        return;
    }
    a->response = in;
    for (uint32_t i = 0; i < a->count; i++) {
        const struct update_features_request_feature_updates *u = &in->feature_updates[i];
        struct meta_op *op = &a->ops[i].op;
        op->feature = admin_name(r, u->feature);
        op->feature_level = u->max_version_level;
        op->feature_change = (enum meta_feature_change)u->upgrade_type;
        if (api_version(r) == 0) {
            op->feature_change =
                u->allow_downgrade ? META_FEATURE_SAFE_DOWNGRADE : META_FEATURE_UPGRADE;
        }
        if (!op->feature) {
            api_close(r, error_text(ERR_NO_MEMORY));
            return;
        }
    }
    admin_go(a, in->timeout_ms);
}
