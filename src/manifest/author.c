/* SPDX-License-Identifier: Apache-2.0 */
#include "manifest/author.h"

#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

void author_current(char out[AUTHOR_MAX])
{
    char host[128] = "";
    char scratch[1024];
    struct passwd entry;
    struct passwd *found = NULL;
    if (gethostname(host, sizeof host - 1) != 0 || !host[0])
        snprintf(host, sizeof host, "unknown");
    if (getpwuid_r(geteuid(), &entry, scratch, sizeof scratch, &found) == 0 && found)
        snprintf(out, AUTHOR_MAX, "%.100s@%s", found->pw_name, host);
    else
        snprintf(out, AUTHOR_MAX, "uid-%lu@%s", (unsigned long)geteuid(), host);
    for (char *c = out; *c; c++)
        if (*c <= ' ' || *c > '~')
            *c = '?';
}
