/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job_file: a job written by hand, TOML or JSON (fkv-job(5)), as it lies beside its data.
 *
 * Inputs and scratch that are relative paths are taken from the file's directory ("-": from the working directory) and made absolute,
 * so that the task means the same wherever it runs. Patterns among the inputs (* ? [) become the files they match when the job is
 * read, in the order of their bytes; what holds "://" is no local path and stays as it is. A query (sql) stays as it is too.
 *
 * Threads: any. Memory: task_document_release().
 * Errors: -EINVAL with file and member; -ENOENT for a file or pattern without a match; of reading; -ENOMEM.
 */
#ifndef FKV_BUILDER_JOB_FILE_H
#define FKV_BUILDER_JOB_FILE_H

#include "builder/task_spec_json.h"

/* path ends in .toml (at most TOML_LEN_MAX bytes) or .json (TASK_JSON_MAX); "-" is standard input, JSON when it begins with '{'. */
int job_file_read(const char *path, struct task_document *out, struct err *err);

#endif
