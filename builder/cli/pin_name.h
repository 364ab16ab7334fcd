/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pin_name: whom a pin is for: --node NAME or --label LABEL, as the manifest spells it.
 *
 * Threads: plain data. Memory: none. Errors: -EINVAL from the name checks.
 */
#ifndef FKV_CLI_PIN_NAME_H
#define FKV_CLI_PIN_NAME_H

#include "manifest/name.h"

#include <argp.h>

enum { OPTION_NODE = 0x5000, OPTION_LABEL };

struct pin_name {
    const char *node;
    const char *label;
};

/* Takes --node and --label; ARGP_ERR_UNKNOWN for any other key. */
error_t pin_name_parse(struct pin_name *pin, int key, char *arg);
/* "web1" or "label:canary". */
int pin_name_text(const struct pin_name *pin, char out[NODE_NAME_MAX + 1], struct err *err);

#endif
