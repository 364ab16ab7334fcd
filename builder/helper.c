/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/helper.h"

#include "base/scope.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct helper {
    pthread_t thread;
    bool has_thread; /* from the first job on */
    pthread_mutex_t lock;
    pthread_cond_t handed_in;
    pthread_cond_t done;
    /* Under the lock: */
    struct helper_job *first;
    struct helper_job *last;
    bool is_leaving;
};

int helper_new(struct helper **out, struct err *err)
{
    struct helper *helper = calloc(1, sizeof *helper);
    if (!helper)
        return err_sys(err, -ENOMEM, "starting a helper");
    pthread_mutex_init(&helper->lock, NULL);
    pthread_cond_init(&helper->handed_in, NULL);
    pthread_cond_init(&helper->done, NULL);
    *out = helper;
    return 0;
}

/* The next job, still in the list; NULL when there will be none. */
static struct helper_job *job_next(struct helper *helper)
{
    while (!helper->first && !helper->is_leaving)
        pthread_cond_wait(&helper->handed_in, &helper->lock);
    return helper->first;
}

static void *helper_main(void *context)
{
    struct helper *helper = context;
    struct helper_job *job;
    scope_lock(&helper->lock);
    while ((job = job_next(helper))) {
        pthread_mutex_unlock(&helper->lock);
        int ret = job->run(job, &job->err);
        pthread_mutex_lock(&helper->lock);
        helper->first = job->next;
        job->ret = ret;
        job->is_done = true;
        pthread_cond_signal(&helper->done);
    }
    return NULL;
}

void helper_free(struct helper *helper)
{
    if (!helper)
        return;
    if (helper->has_thread) {
        pthread_mutex_lock(&helper->lock);
        helper->is_leaving = true;
        pthread_cond_signal(&helper->handed_in);
        pthread_mutex_unlock(&helper->lock);
        pthread_join(helper->thread, NULL);
    }
    pthread_cond_destroy(&helper->done);
    pthread_cond_destroy(&helper->handed_in);
    pthread_mutex_destroy(&helper->lock);
    free(helper);
}

void helper_submit(struct helper *helper, struct helper_job *job)
{
    job->next = NULL;
    job->is_done = false;
    job->err = (struct err){0};
    if (!helper->has_thread)
        helper->has_thread = pthread_create(&helper->thread, NULL, helper_main, helper) == 0;
    if (!helper->has_thread) {
        job->ret = job->run(job, &job->err);
        job->is_done = true;
        return;
    }
    scope_lock(&helper->lock);
    if (helper->first)
        helper->last->next = job;
    else
        helper->first = job;
    helper->last = job;
    pthread_cond_signal(&helper->handed_in);
}

int helper_wait(struct helper *helper, struct helper_job *job, struct err *err)
{
    scope_lock(&helper->lock);
    while (!job->is_done)
        pthread_cond_wait(&helper->done, &helper->lock);
    if (job->ret && err)
        *err = job->err;
    return job->ret;
}
