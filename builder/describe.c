/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/describe.h"

#include "manifest/author.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The inputs' names, as many as fit. JSON wants UTF-8: bytes outside ASCII are shown as '?'. */
static char *source_text(const struct job *job)
{
    enum { SOURCE_LEN = 4096, TAIL_LEN = 64 };
    char *text = malloc(SOURCE_LEN + TAIL_LEN);
    size_t len = 0;
    size_t i = 0;
    if (!text)
        return NULL;
    for (; i < job->n_inputs && len + strlen(job->inputs[i]) + 2 < SOURCE_LEN; i++)
        len +=
            (size_t)snprintf(text + len, SOURCE_LEN - len, "%s%s", i ? ", " : "", job->inputs[i]);
    if (i < job->n_inputs)
        len += (size_t)snprintf(text + len, TAIL_LEN, "%s%zu more", i ? " and " : "",
                                job->n_inputs - i);
    for (size_t k = 0; k < len; k++)
        if (text[k] < 0x20 || text[k] > 0x7E)
            text[k] = '?';
    text[len] = 0;
    return text;
}

int describe_version(const struct job *job, const char *task, struct version_desc *desc,
                     struct err *err)
{
    char author[AUTHOR_MAX];
    char second[32];
    char created[64];
    struct timespec now;
    struct tm utc;
    author_current(author);
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(second, sizeof second, "%Y-%m-%dT%H:%M:%S", &utc);
    /* To the millisecond: which build was sealed last is told by it. */
    snprintf(created, sizeof created, "%s.%03ldZ", second, now.tv_nsec / 1000000);
    desc->task = strdup(task);
    desc->builder = strdup("fkv " FKV_VERSION);
    desc->author = strdup(job->author ? job->author : author);
    desc->created = strdup(created);
    desc->source = source_text(job);
    if (!desc->task || !desc->builder || !desc->author || !desc->created || !desc->source)
        return err_sys(err, -ENOMEM, "sealing");
    return 0;
}
