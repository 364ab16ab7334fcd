/* SPDX-License-Identifier: Apache-2.0 */
/*
 * describe: what people want to know of a version, and readers do not need: who built it, when, with what, from which files.
 *
 * Threads: any. Memory: the strings belong to the description. Errors: -ENOMEM.
 */
#ifndef FKV_BUILDER_DESCRIBE_H
#define FKV_BUILDER_DESCRIBE_H

#include "builder/job.h"
#include "format/version.h"

int describe_version(const struct job *job, const char *task, struct version_desc *desc,
                     struct err *err);

#endif
