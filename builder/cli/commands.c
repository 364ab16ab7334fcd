/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/cli.h"
#include "builder/cli/cmd.h"

const struct command commands[] = {
    {"Make and release", NULL, NULL, NULL},
    {"init", "DIR", "make a store", cmd_init},
    {"build", "TABLE INPUT…", "build a version of a table from files", cmd_build},
    {"publish", "TABLE…", "check a build, publish it, switch the fleet to it", cmd_publish},
    {"promote", "TABLE…", "switch the fleet to what is on canary", cmd_promote},
    {"abort", "TABLE…", "end a canary, and quarantine its version", cmd_abort},
    {"activate", "TABLE[=VERSION]…", "switch tables to versions, all at once", cmd_activate},
    {"rollback", "TABLE…", "go back to an earlier version", cmd_rollback},
    {"Look", NULL, NULL, NULL},
    {"ls", "[TABLE]", "tables, or the versions of one", cmd_ls},
    {"log", "", "who did what, when and why", cmd_log},
    {"status", "", "which node serves what, and what holds it up", cmd_status},
    {"get", "TABLE KEY…", "look keys up, through the mount", cmd_get},
    {"diff", "TABLE A B", "keys added, removed and changed between two versions", cmd_diff},
    {"dump", "TABLE [VERSION]", "write a version as TSV or JSON Lines", cmd_dump},
    {"verify", "[TABLE [VERSION]]", "read versions back and check every byte", cmd_verify},
    {"bench", "TABLE", "measure lookups through the mount", cmd_bench},
    {"Care for versions", NULL, NULL, NULL},
    {"quarantine", "TABLE VERSION", "keep a version from becoming current", cmd_quarantine},
    {"tag", "TABLE VERSION NAME", "name a version, and keep it", cmd_tag},
    {"untag", "TABLE NAME", "take the name off", cmd_untag},
    {"pin", "TABLE VERSION", "hold a node at a version", cmd_pin},
    {"unpin", "TABLE", "let it follow the table again", cmd_unpin},
    {"keep", "TABLE N", "how many former versions to keep", cmd_keep},
    {"retire", "TABLE VERSION…", "let gc have versions now", cmd_retire},
    {"gc", "", "remove what nothing refers to any more", cmd_gc},
    {"version", "", "what this program is", cmd_version},
    {0},
};
