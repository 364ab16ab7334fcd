/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_totals_json: join_totals as a member of documents, the same for people and for tasks.
 *
 * Threads: one. Memory: encoding returns a new reference, NULL without memory. Errors: -EBADMSG with the member.
 */
#ifndef FKV_BUILDER_JOIN_TOTALS_JSON_H
#define FKV_BUILDER_JOIN_TOTALS_JSON_H

#include "base/json.h"
#include "builder/join_totals.h"

json_t *join_totals_encode(const struct join_totals *totals);
int join_totals_decode(struct json_at at, struct join_totals *out, struct err *err);

#endif
