/* SPDX-License-Identifier: Apache-2.0 */
/*
 * validate_json: what validators allow, as the section `validators` of a job (fkv-job(5)) and of a task's job.json:
 *
 *   {"rows_min": {"min": 1}, "rows_change": {"max_pct": 20}, "duplicates": {"max_pct": 5},
 *    "not_finite": {"max": 0, "max_pct": 0.1}, "empty_values": {"max_pct": 1}, "bad_rows": {"max_pct": 1},
 *    "norm_drift": {"max": 0.1}, "schema_change": {"allow": true},
 *    "command": ["./check.sh"], "command_timeout": "10m"}
 *
 * Threads: one. Memory: strings are borrowed from the document. Errors: -EBADMSG with the member, -ENOMEM.
 */
#ifndef FKV_BUILDER_VALIDATE_JSON_H
#define FKV_BUILDER_VALIDATE_JSON_H

#include "base/json.h"
#include "builder/validate.h"

/* Absent members leave *out as it was; unknown ones are refused. */
int validate_limits_decode(struct json_at at, struct validate_limits *out, struct err *err);
/* *out is a new reference, an object, with all that is limited. */
int validate_limits_encode(const struct validate_limits *limits, json_t **out);

#endif
