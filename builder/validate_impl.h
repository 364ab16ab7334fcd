/* SPDX-License-Identifier: Apache-2.0 */
/*
 * validate_impl: how the files of validate fill in findings.
 *
 * Threads: pure functions. Memory: none. Errors: none; a text that is too long is cut.
 */
#ifndef FKV_BUILDER_VALIDATE_IMPL_H
#define FKV_BUILDER_VALIDATE_IMPL_H

#include "builder/validate.h"

/* passed or failed, with its sentence. */
void finding_judge(struct validate_finding *finding, bool passes, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void finding_skip(struct validate_finding *finding, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static inline void finding_figure(struct validate_finding *finding, double figure)
{
    finding->has_figure = true;
    finding->figure = figure;
}

/* A negative limit is none. */
static inline void finding_limit(struct validate_finding *finding, double limit)
{
    finding->has_limit = limit >= 0;
    finding->limit = limit >= 0 ? limit : 0;
}

#endif
