/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/submit_spec.h"

#include "builder/duckdb_host.h"
#include "builder/inherit.h"
#include "builder/job_file.h"
#include "builder/parquet.h"
#include "builder/task_engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void submit_args_release(struct submit_args *args)
{
    for (size_t i = 0; args->paths && i < args->build.job.n_inputs; i++)
        free(args->paths[i]);
    free(args->paths);
    free(args->scratch);
}

/* ---- from a table and its inputs ---- */

/* The directory need not be there on this host. */
static int scratch_complete(struct submit_args *args, struct err *err)
{
    char *here = NULL;
    const char *dir = args->build.job.scratch;
    if (!dir || dir[0] == '/')
        return 0;
    if (!(here = getcwd(NULL, 0)))
        return err_sys(err, -errno, "the working directory");
    if (asprintf(&args->scratch, "%s/%s", here, dir) < 0)
        args->scratch = NULL;
    free(here);
    args->build.job.scratch = args->scratch;
    return args->scratch ? 0 : err_sys(err, -ENOMEM, "reading the arguments");
}

/* Workers may run elsewhere: a relative path would mean another file there. */
static int paths_complete(struct submit_args *args, struct err *err)
{
    struct build_args *build = &args->build;
    const struct job *job = &build->job;
    args->paths = calloc(job->n_inputs + 1, sizeof *args->paths);
    if (!args->paths)
        return err_sys(err, -ENOMEM, "reading the arguments");
    for (size_t i = 0; i < job->n_inputs && job->format != INPUT_SQL; i++) {
        if (strstr(build->inputs[i], "://"))
            continue;
        char *path = realpath(build->inputs[i], NULL);
        if (!path)
            return err_sys(err, -errno, "%s: opening", build->inputs[i]);
        args->paths[i] = path;
        build->inputs[i] = path;
    }
    return 0;
}

static int spec_from_flags(struct submit_args *args, struct session *session,
                           struct task_spec *spec, struct err *err)
{
    struct build_args *build = &args->build;
    const struct version_entry *base = NULL;
    int ret = build->job.n_inputs ? paths_complete(args, err)
                                  : err_set(err, -EINVAL,
                                            "expected a job file (.toml, .json or -), or a table "
                                            "and its input files; found '%s'",
                                            build->job.table);
    if (!ret && build->base)
        ret = session_version(session, build->job.table, build->base, &base, err);
    if (ret)
        return ret;
    task_spec_default(spec);
    spec->job = build->job;
    spec->job.base = base ? base->version : 0;
    return 0;
}

/* ---- from a job file ---- */

/* No table has such a name. */
static bool is_job_file(const struct build_args *build)
{
    const char *word = build->job.table;
    size_t len = strlen(word);
    return strcmp(word, "-") == 0 || (len > 5 && (strcmp(word + len - 5, ".toml") == 0 ||
                                                  strcmp(word + len - 5, ".json") == 0));
}

static int spec_from_file(const struct build_args *build, struct task_document *document,
                          struct task_spec *spec, struct err *err)
{
    const char *file = build->job.table;
    if (build->file_says)
        return err_set(err, -EINVAL,
                       "--%s does not go beside a job file, which says itself what is built and "
                       "from what: write it in %s (fkv-job(5)), or submit a table and its inputs "
                       "without a file",
                       build->file_says, file);
    if (build->job.n_inputs)
        return err_set(err, -EINVAL, "%s: a job file names its inputs itself; found '%s' beside it",
                       file, build->inputs[0]);
    int ret = job_file_read(file, document, err);
    if (!ret)
        *spec = document->spec;
    return ret;
}

/* ---- what goes before both ---- */

/* Only an activation that somebody attends can stop at a canary, or not wait. */
static int release_check(const struct release_options *release, struct err *err)
{
    const char *flag = release->n_canaries ? "canary" : release->no_wait ? "no-wait" : NULL;
    if (!flag)
        return 0;
    return err_set(err, -EINVAL,
                   "--%s is not for a task, which activates when its nodes are ready; submit it "
                   "with --then stop, then say fkv publish TABLE=TASK --%s",
                   flag, flag);
}

static void then_override(const struct submit_args *args, struct task_spec *spec)
{
    if (args->then)
        spec->then = args->then[0] == 's'   ? TASK_STOP
                     : args->then[0] == 'p' ? TASK_PUBLISH
                                            : TASK_ACTIVATE;
    if (args->build.publish)
        spec->then = TASK_ACTIVATE;
    if (args->build.release.no_activate && spec->then == TASK_ACTIVATE)
        spec->then = TASK_PUBLISH;
}

static void work_override(const struct submit_args *args, struct task_spec *spec)
{
    const struct build_args *build = &args->build;
    if (args->engine)
        spec->engine = task_engine_kind_of(task_engine_named(args->engine));
    if (args->piece_len)
        spec->piece_len = args->piece_len;
    if (args->n_reduce)
        spec->n_reduce = args->n_reduce;
    if (args->partition)
        spec->slurm.partition = args->partition;
    if (args->n_at_once)
        spec->slurm.n_at_once = args->n_at_once;
    if (args->n_sbatch) {
        spec->slurm.extra = args->sbatch;
        spec->slurm.n_extra = args->n_sbatch;
    }
    if (build->has_memory)
        spec->job.memory = build->job.memory;
    if (build->job.n_threads)
        spec->job.n_threads = build->job.n_threads;
    if (build->job.scratch)
        spec->job.scratch = build->job.scratch;
    if (build->job.task)
        spec->job.task = build->job.task;
}

int submit_spec_make(struct submit_args *args, struct session *session,
                     struct task_document *document, struct task_spec *out, struct err *err)
{
    int ret = release_check(&args->build.release, err);
    if (!ret)
        ret = scratch_complete(args, err);
    if (!ret)
        ret = is_job_file(&args->build) ? spec_from_file(&args->build, document, out, err)
                                        : spec_from_flags(args, session, out, err);
    if (ret)
        return ret;
    work_override(args, out);
    then_override(args, out);
    return release_override(&args->build.release, out, err);
}

/* ---- checking ---- */

/* Engine local refuses where it is not; others run where that cannot be asked, and plan refuses there. */
static void duckdb_warn(const struct task_spec *spec)
{
    struct err why = {0};
    if (spec->engine == TASK_LOCAL)
        return;
    int ret = duckdb_check(&spec->job, &why);
    if (ret)
        fprintf(stderr,
                "fkv: warning: the workers need what this host does not have, or the task fails in "
                "plan: %s\n",
                err_text(&why, ret));
}

static int paths_check(const struct job *job, struct err *err)
{
    for (size_t i = 0; i < job->n_inputs; i++) {
        int ret = parquet_is_input(job->inputs[i], job->format)
                      ? parquet_check_path(job->inputs[i], err)
                      : 0;
        if (ret)
            return ret;
    }
    return 0;
}

int submit_spec_check(const struct task_spec *spec, struct session *session, struct err *err)
{
    struct job job = spec->job;
    job.tombstones_file_mode = job.is_delta && !job.diff_base;
    int ret = job.table ? table_name_check(job.table, err)
                        : err_set(err, -EINVAL, "the job names no table");
    if (!ret)
        ret = inherit_schema(session->store, manifest_state(session->manifest), &job, err);
    if (!ret)
        ret = job_check(&job, err);
    if (!ret)
        ret = paths_check(&job, err);
    if (!ret)
        ret = task_engine_of(spec->engine)->check(spec, err);
    if (!ret)
        duckdb_warn(spec);
    return ret;
}
