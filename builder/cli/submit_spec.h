/* SPDX-License-Identifier: Apache-2.0 */
/*
 * submit_spec: what `fkv submit` records, made of its words: a table with its inputs and flags, or a job file and the flags that may
 * stand beside one.
 *
 * A job file says itself what is built and from what: there such a flag is refused, not passed over. Flags of where the work runs
 * and of what becomes of the build go before the file, but for --check, which adds to its commands.
 *
 * Threads: one. Memory: strings are borrowed from argv, args or the document: all three outlive the spec.
 * Errors: -EINVAL naming the flag; those of job_check(), inherit.h, the engine; -ENOENT for a file.
 */
#ifndef FKV_CLI_SUBMIT_SPEC_H
#define FKV_CLI_SUBMIT_SPEC_H

#include "builder/cli/build_options.h"
#include "builder/task_spec_json.h"

enum { SBATCH_MAX = 64 };

struct submit_args {
    struct build_args build;
    const char *engine;
    const char *then;
    bool wait;
    uint64_t piece_len;
    uint32_t n_reduce;
    const char *partition;
    uint32_t n_at_once;
    const char *sbatch[SBATCH_MAX];
    size_t n_sbatch;
    char **paths;  /* of inputs, made absolute */
    char *scratch; /* made absolute */
};

void submit_args_release(struct submit_args *args);

/* The spec, without a task's name unless one was given. *document is filled from a job file; the caller releases it. */
int submit_spec_make(struct submit_args *args, struct session *session,
                     struct task_document *document, struct task_spec *out, struct err *err);

/* What can be found wrong before anything is recorded. What may be wrong, as workers run elsewhere, is said on stderr. */
int submit_spec_check(const struct task_spec *spec, struct session *session, struct err *err);

#endif
