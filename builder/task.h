/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task: a build that was submitted, as a directory of small documents on the store. Nothing else knows how far it is: whoever dies,
 * another reads the directory and goes on.
 *
 *   tasks/<task>/job.json              what was submitted (task_spec_json.h); put once
 *                plan.json             put once by the plan stage (task_plan.h)
 *                map-<n>.json          put once: piece n is mapped, and its runs are in runs/
 *                shape.json            put once: shards and coding, when all pieces are mapped (task_shape.h)
 *                reduce-<shard>.json   put once: the shard's part is in staging, and was read back
 *                sealed.json           put once: the build lies in tables/<table>/staging/<task>
 *                published.json        put once: version, and what became of it
 *                attempt-<n>.json      who began it for the n-th time, with which engine
 *                failed-<n>-<stage>-<index>.json   why attempt n could not go on there
 *                cancelled.json        somebody gave it up
 *                work/<stage>-<index>.json         a worker that is at it now; replaced every few seconds
 *                log/<stage>-<index>-<attempt>-<host>-<pid>.log
 *                runs/<file>           sorted runs (spill.h)
 *
 * "Put once" is put-if-absent: of two workers on one step, the first one's document holds, and both did the same.
 *
 * Threads: a struct task may be shared once it is open. Memory: plain data; documents are dropped by who gets them.
 * Errors: -ENOENT for a task that is not there; -EEXIST from task_put_new(); -EBADMSG for a document that is none; store errors.
 */
#ifndef FKV_BUILDER_TASK_H
#define FKV_BUILDER_TASK_H

#include "base/json.h"
#include "builder/layout.h"
#include "manifest/name.h"

enum {
    TASK_DOCUMENT_MAX = 64 << 20,
    TASK_FILE_MAX = 128,
    /* One a minute for almost a week. Some go through all of them, so a forged number must not be believed. */
    TASK_ATTEMPTS_MAX = 10000,
};

enum task_stage { STAGE_PLAN, STAGE_MAP, STAGE_REDUCE, STAGE_SEAL, STAGE_COUNT };

struct task {
    struct store *store;
    char name[TASK_NAME_MAX + 1];
    char dir[LAYOUT_PATH_MAX]; /* tasks/<name> */
    uint32_t attempt;          /* the newest, from 1 */
    /* Whoever runs this stage does so again after an I/O error: it is not told as a failure. */
    bool is_tried_again;
};

const char *task_stage_name(enum task_stage stage);
int task_stage_from_name(const char *name, enum task_stage *out, struct err *err);

/* Will whoever runs this stage run it again, after that failure? */
bool task_is_tried_again(const struct task *task, int code);

/* A new name: UTC first, so that names sort by age, then what keeps two of one moment apart. */
void task_name_new(char out[TASK_NAME_MAX + 1]);

/* Records a task: job is its job.json. -EEXIST when the name is taken. */
int task_create(struct store *store, const char *name, const void *job, size_t job_len,
                const char *engine, struct task *out, struct err *err);
/* Opens one that is there, and finds its newest attempt. -EBADMSG for one beyond TASK_ATTEMPTS_MAX. */
int task_open(struct store *store, const char *name, struct task *out, struct err *err);
/* May another attempt begin? -E2BIG after TASK_ATTEMPTS_MAX. To be asked before anything is removed for one. */
int task_attempts_check(const struct task *task, struct err *err);
/* Begins the next attempt: task->attempt is its number. -EEXIST when somebody else did at the same time; -E2BIG
 * after TASK_ATTEMPTS_MAX. */
int task_begin_attempt(struct task *task, const char *engine, struct err *err);

/* Documents; `file` is a name in the task's directory. put swallows the document, also when it fails. */
int task_put_new(const struct task *task, const char *file, json_t *document, struct err *err);
int task_put(const struct task *task, const char *file, json_t *document, struct err *err);
/* -ENOENT when it is not there. */
int task_get(const struct task *task, const char *file, json_t **out, struct err *err);
/* 1 or 0 */
int task_has(const struct task *task, const char *file, struct err *err);
/* Store path of a file of the task. */
int task_path(const struct task *task, const char *file, char out[STORE_PATH_MAX], struct err *err);

/* "map-12.json" and the like; shard or piece. */
void task_marker_name(enum task_stage stage, uint32_t index, char out[TASK_FILE_MAX]);

/* The build that the task's chain is merged as: of one task always the same, so that a second try finds it; of two never. But anybody
 * may have given a build that name, so whoever finds one looks whether it is the checkpoint. */
void task_checkpoint_name(const struct task *task, char out[TASK_NAME_MAX + 1]);

/* Members that every document about work begins with: who, where, which attempt, when. */
json_t *task_stamp(const struct task *task);

#endif
