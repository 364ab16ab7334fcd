/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_spec_json: a task as a document: what job.json on the store and job.toml by hand hold (fkv-job(5)).
 *
 * One set of rules for both: a member that is not known, a wrong type and a number out of range are refused by name. What the
 * document does not say is as task_spec_default() has it. Decoding does not ask whether the parts go together, as the table may
 * have to give its shape first: job_check() does.
 *
 * Threads: a document belongs to one thread at a time.
 * Memory: the spec's strings live as long as the document it was decoded from.
 * Errors: -EBADMSG with document and member; -ENOMEM. Encoding: -EINVAL for a text that is no UTF-8, -E2BIG.
 */
#ifndef FKV_BUILDER_TASK_SPEC_JSON_H
#define FKV_BUILDER_TASK_SPEC_JSON_H

#include "base/json.h"
#include "builder/task_spec.h"

enum {
    TASK_JSON_MAX = 64 << 20, /* bytes: the inputs may be many */
    SLURM_WORDS_MAX = 256,
};

struct task_document {
    struct task_spec spec;
    json_t *json;              /* owns the strings */
    const char *const *inputs; /* spec.job.inputs as decoded */
    const char *const *sbatch; /* spec.slurm.extra */
};

#define TASK_TIMEOUT_NS 600000000000LL /* that nodes have, unless a task says another */

/* What an empty document says. */
void task_spec_default(struct task_spec *out);

/* name is what error texts call the document. */
int task_spec_decode(const void *text, size_t len, const char *name, struct task_document *out,
                     struct err *err);
/* Of a document that was parsed; takes the reference, whatever it returns. */
int task_spec_decode_json(json_t *json, const char *name, struct task_document *out,
                          struct err *err);
void task_document_release(struct task_document *document);

/* Appends the canonical text: members in a fixed order, without those that have their default of zero, false or nothing. Decoding
 * and encoding it again gives the same bytes. */
int task_spec_encode(const struct task_spec *spec, struct buf *out, struct err *err);

#endif
