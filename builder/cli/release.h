/* SPDX-License-Identifier: Apache-2.0 */
/*
 * release: from sealed builds to serving, for `fkv publish` and `fkv build --publish`: validators, record, waiting for
 * nodes, activation, waiting for the flip; or for a canary, only until the nodes that try it serve it.
 *
 * Threads: one. Memory: none is kept. Errors: those of publish_run() and fleet.h.
 */
#ifndef FKV_CLI_RELEASE_H
#define FKV_CLI_RELEASE_H

#include "builder/cli/cli.h"
#include "builder/publish.h"
#include "builder/task_spec.h"

#include <stdatomic.h>

enum { RELEASE_CANARIES_MAX = 64 };

struct release_options {
    struct validate_limits limits;
    bool no_activate;
    bool no_wait;
    uint32_t quorum;
    int64_t timeout_ns;
    const char *reason;
    const char *canaries[RELEASE_CANARIES_MAX]; /* "n1", "label:x": only these switch */
    size_t n_canaries;
    uint32_t given;            /* a bit an option, of release_override() */
    const atomic_bool *cancel; /* ends waiting for nodes, and checks; may be NULL */
};

/* The options' argp, for use as a child; its input is a struct release_options. */
extern const struct argp release_argp;

/* Limits, quorum, timeout and reason that were given go before what the spec has; commands are added to its own. -E2BIG. */
int release_override(const struct release_options *options, struct task_spec *spec,
                     struct err *err);

/* *json (may be NULL) gets an array of what was published, and what became of it. */
int release_run(struct session *session, const struct publish_item *items, size_t n_items,
                const struct release_options *options, bool quiet, json_t **json, struct err *err);

/* For a version that is published already: waits for nodes and switches to it, as release_run() goes on after publishing. */
int release_activate(struct session *session, const char *table, uint64_t version,
                     const struct release_options *options, bool quiet, struct err *err);

#endif
