/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/log_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char snapshot_prefix[] = "snapshot-";

void log_record_path(uint64_t seq, char out[LOG_NAME_MAX])
{
    snprintf(out, LOG_NAME_MAX, "log/%010llu.json", (unsigned long long)seq);
}

void log_snapshot_path(uint64_t seq, char out[LOG_NAME_MAX])
{
    snprintf(out, LOG_NAME_MAX, "log/%s%010llu.json", snapshot_prefix, (unsigned long long)seq);
}

uint64_t log_record_seq(const char *name)
{
    if (strspn(name, "0123456789") != 10 || strcmp(name + 10, ".json") != 0)
        return 0;
    return strtoull(name, NULL, 10);
}

uint64_t log_snapshot_seq(const char *name)
{
    size_t prefix_len = sizeof snapshot_prefix - 1;
    if (strncmp(name, snapshot_prefix, prefix_len) != 0)
        return 0;
    return log_record_seq(name + prefix_len);
}
