/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/clock.h"

#include <time.h>

int64_t cli_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}
