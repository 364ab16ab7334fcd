/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job_inputs: the paths that a job's file names, as absolute ones that exist.
 *
 * Threads: any. Memory: none is kept. Errors: as job_file.h.
 */
#ifndef FKV_BUILDER_JOB_INPUTS_H
#define FKV_BUILDER_JOB_INPUTS_H

#include "base/json.h"

/*
 * Replaces in document its "inputs", patterns by what they match, and its "scratch". dir is absolute; name is what error texts
 * call the document. What is of a wrong type is left for task_spec_decode_json() to refuse.
 */
int job_inputs_resolve(json_t *document, const char *dir, const char *name, struct err *err);

#endif
