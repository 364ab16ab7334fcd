/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"
#include "format/version.h"

#include <stdio.h>

static const char doc[] = "Says which fkv this is, and which formats it reads and writes.";

int cmd_version(int argc, char **argv, struct err *err)
{
    static const struct argp argp = {.doc = doc};
    cli_parse(&argp, argc, argv, NULL);
    printf("fkv %s: version format %d, manifest format %d\n", FKV_VERSION, VERSION_FORMAT,
           RECORD_FORMAT);
    return 0;
}
