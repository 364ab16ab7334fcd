/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mismatch: content that is not what its digest says.
 *
 * Threads: a pure function. Memory: none.
 * Errors: always -EBADMSG, with both digests; the caller puts before it what it was (err_wrap).
 */
#ifndef FKV_NODE_MISMATCH_H
#define FKV_NODE_MISMATCH_H

#include "base/err.h"
#include "base/hash.h"

int digest_mismatch(const struct digest *expected, const struct digest *found, struct err *err);

#endif
