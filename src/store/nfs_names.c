/* SPDX-License-Identifier: Apache-2.0 */
#include "store/nfs_proto.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int nfs_names_add(struct nfs_names *list, const char *name, size_t len)
{
    bool is_dots = (len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.');
    if (len == 0 || is_dots || memchr(name, '/', len) || memchr(name, '\0', len))
        return 0;
    if (list->n == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 16;
        char **names = realloc(list->names, cap * sizeof *names);
        if (!names)
            return -ENOMEM;
        list->names = names;
        list->cap = cap;
    }
    char *copy = strndup(name, len);
    if (!copy)
        return -ENOMEM;
    list->names[list->n++] = copy;
    return 0;
}

void nfs_names_release(struct nfs_names *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->names[i]);
    free(list->names);
    *list = (struct nfs_names){0};
}
