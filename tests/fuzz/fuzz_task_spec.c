/* SPDX-License-Identifier: Apache-2.0 */
/* A task's document from any bytes: what decodes can be encoded, and decodes to the same again. */
#include "builder/task_spec_json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void must(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct task_document document = {0};
    struct task_document again = {0};
    struct buf text = {0};
    struct buf twice = {0};
    struct err err = {0};
    int ret = task_spec_decode(data, len, "job.json", &document, &err);
    if (ret) {
        must(ret == -EBADMSG && err.code == ret && err.text[0] && !document.json);
        return 0;
    }
    const struct job *job = &document.spec.job;
    must(job->memory >= JOB_MEMORY_MIN && job->n_threads <= THREADS_MAX);
    must(!job->given.shards || (job->schema.n_shards >= 1 && job->schema.n_shards <= SHARDS_MAX));
    must(document.spec.timeout_ns >= 0 && document.spec.checkpoint.share >= 0);
    must(task_spec_encode(&document.spec, &text, NULL) == 0);
    must(task_spec_decode(text.data, text.len, "again", &again, NULL) == 0);
    must(task_spec_encode(&again.spec, &twice, NULL) == 0);
    must(text.len == twice.len && memcmp(text.data, twice.data, text.len) == 0);
    task_document_release(&document);
    task_document_release(&again);
    buf_release(&text);
    buf_release(&twice);
    return 0;
}
