/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_options: the words of `fkv build`, read into a job.
 *
 * Threads: one. Memory: everything points into argv; inputs is the caller's, with room for argc words.
 * Errors: argp's: a mistake is printed and ends the program.
 */
#ifndef FKV_CLI_BUILD_OPTIONS_H
#define FKV_CLI_BUILD_OPTIONS_H

#include "builder/cli/cli.h"
#include "builder/cli/release.h"
#include "builder/job.h"

struct build_args {
    struct cli_common common;
    struct release_options release;
    struct job job;
    const char **inputs;
    const char *base;
    const char *sql;
    bool publish;
    bool has_memory; /* job.memory was said */
    /* The first flag given of those that a job file has in its stead; NULL: none. */
    const char *file_says;
    bool takes_file; /* one word alone may be a job file: `fkv submit` */
};

/* The same flags as a child of another command's argp; its input is a struct build_args that build_args_init() began. */
extern const struct argp build_argp;
void build_args_init(struct build_args *out, const char **inputs);

void build_args_parse(int argc, char **argv, const char **inputs, struct build_args *out);

#endif
