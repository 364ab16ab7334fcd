/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_members: the sections of a task's document whose members need functions of their own. Of task_spec_json only.
 *
 * Threads, Memory, Errors: as members.h.
 */
#ifndef FKV_BUILDER_TASK_MEMBERS_H
#define FKV_BUILDER_TASK_MEMBERS_H

#include "builder/members.h"

enum { TASK_SCHEMA_MEMBERS = 8 };

/* [schema]; the struct is a struct task_spec. */
extern const struct member task_schema_members[TASK_SCHEMA_MEMBERS];

#endif
