/* SPDX-License-Identifier: Apache-2.0 */
#include "base/elem.h"

#include <errno.h>
#include <string.h>

static const char *const names[] = {
    [ELEM_NONE] = "bytes", [ELEM_F32] = "f32", [ELEM_F16] = "f16",
    [ELEM_BF16] = "bf16",  [ELEM_I8] = "i8",
};

enum { N_NAMES = sizeof names / sizeof *names };

const char *elem_name(enum elem elem)
{
    return (unsigned)elem < N_NAMES ? names[elem] : NULL;
}

int elem_from_name(const char *name, enum elem *out)
{
    for (int i = 0; i < N_NAMES; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum elem)i;
            return 0;
        }
    }
    return -EINVAL;
}
