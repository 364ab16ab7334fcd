/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load_version: a cached version into memory.
 *
 * Parts that another version has loaded are shared; the others are read, each chunk checked against
 * version.json, opened, and made read-only. Of parts on disk only the tail is read (disk_part.h). A
 * part whose bytes are not what they should be leaves the cache, so that the next fetch brings it
 * anew.
 *
 * Threads: one load at a time a registry. Memory: version_unpin() what comes out.
 * Errors: -EUCLEAN when the cache was bad (a part corrupt, cut or gone: fetch again, then load
 * again); -EBADMSG when the bytes are those that were published and yet are no good part;
 * -ECANCELED, -ETIMEDOUT from stop; -ENOMEM, -EIO.
 */
#ifndef FKV_NODE_LOAD_VERSION_H
#define FKV_NODE_LOAD_VERSION_H

#include "node/progress.h"
#include "node/version_impl.h"

int load_version(const struct version *cached, const struct stop *stop, struct progress *progress,
                 struct version **out, struct err *err);

#endif
