/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd: the commands, one file each; main.c runs them from the table in commands.c.
 *
 * Threads: one. Memory: freed before they return. Errors: 0 or -errno with err filled, see cli.h.
 */
#ifndef FKV_CLI_CMD_H
#define FKV_CLI_CMD_H

#include "base/err.h"

int cmd_abort(int argc, char **argv, struct err *err);
int cmd_activate(int argc, char **argv, struct err *err);
int cmd_bench(int argc, char **argv, struct err *err);
int cmd_build(int argc, char **argv, struct err *err);
int cmd_checkpoint(int argc, char **argv, struct err *err);
int cmd_diff(int argc, char **argv, struct err *err);
int cmd_dump(int argc, char **argv, struct err *err);
int cmd_gc(int argc, char **argv, struct err *err);
int cmd_get(int argc, char **argv, struct err *err);
int cmd_init(int argc, char **argv, struct err *err);
int cmd_keep(int argc, char **argv, struct err *err);
int cmd_log(int argc, char **argv, struct err *err);
int cmd_ls(int argc, char **argv, struct err *err);
int cmd_pin(int argc, char **argv, struct err *err);
int cmd_promote(int argc, char **argv, struct err *err);
int cmd_publish(int argc, char **argv, struct err *err);
int cmd_quarantine(int argc, char **argv, struct err *err);
int cmd_retire(int argc, char **argv, struct err *err);
int cmd_rollback(int argc, char **argv, struct err *err);
int cmd_scan(int argc, char **argv, struct err *err);
int cmd_stage(int argc, char **argv, struct err *err);
int cmd_stat(int argc, char **argv, struct err *err);
int cmd_status(int argc, char **argv, struct err *err);
int cmd_submit(int argc, char **argv, struct err *err);
int cmd_tag(int argc, char **argv, struct err *err);
int cmd_task(int argc, char **argv, struct err *err);
int cmd_unpin(int argc, char **argv, struct err *err);
int cmd_untag(int argc, char **argv, struct err *err);
int cmd_verify(int argc, char **argv, struct err *err);
int cmd_version(int argc, char **argv, struct err *err);

#endif
