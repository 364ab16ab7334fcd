/* SPDX-License-Identifier: Apache-2.0 */
/*
 * validate_json: what validators allow, as a section of a job.
 *
 * Threads: one. Memory: none is kept. Errors: -EBADMSG with the member, -ENOMEM.
 */
#ifndef FKV_BUILDER_VALIDATE_JSON_H
#define FKV_BUILDER_VALIDATE_JSON_H

#include "base/json.h"
#include "builder/validate.h"

/* Absent members leave *out as it was; unknown ones are refused. */
int validate_limits_decode(struct json_at at, struct validate_limits *out, struct err *err);
/* *out is a new reference, an object. */
int validate_limits_encode(const struct validate_limits *limits, json_t **out);

#endif
