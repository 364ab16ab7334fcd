/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/pin_name.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

error_t pin_name_parse(struct pin_name *pin, int key, char *arg)
{
    switch (key) {
    case OPTION_NODE:
        pin->node = arg;
        return 0;
    case OPTION_LABEL:
        pin->label = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int pin_name_text(const struct pin_name *pin, char out[NODE_NAME_MAX + 1], struct err *err)
{
    const char *prefix = pin->label ? "label:" : "";
    const char *name = pin->label ? pin->label : pin->node;
    int rc = node_name_check(name, err);
    if (rc)
        return rc;
    int len = snprintf(out, NODE_NAME_MAX + 1, "%s%s", prefix, name);
    if (len > NODE_NAME_MAX)
        return err_set(err, -EINVAL, "--label: at most %d bytes, found '%s'",
                       (int)(NODE_NAME_MAX - strlen(prefix)), name);
    return 0;
}
