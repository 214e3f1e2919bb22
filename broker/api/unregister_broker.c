/* SPDX-License-Identifier: Apache-2.0 */

/* UnregisterBroker: a broker that will not come back is forgotten. One that lives registers anew. */
#include "api/admin.h"

static void answer(struct admin *a)
{
    struct unregister_broker_response response;
    unregister_broker_response_init(&response);
    response.error_code = admin_error(&a->ops[0]);
    response.error_message = admin_message(&a->ops[0]);
    api_respond(a->request, &response);
}

void handle_unregister_broker(struct api_request *r)
{
    const struct unregister_broker_request *in = api_decode(r);
    struct admin *a = in ? admin_new(r, 1, META_UNREGISTER_BROKER, false, answer) : NULL;
    if (a) {
        a->ops[0].op.broker = in->broker_id;
        admin_go(a, 0);
    }
}
