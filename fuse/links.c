/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/links.h"

#include "base/scope.h"
#include "fuse/tree.h"

#include <errno.h>
#include <string.h>

void links_init(struct links *links)
{
    memset(links, 0, sizeof *links);
    pthread_mutex_init(&links->lock, NULL);
}

/* Called with the lock held, as the two below. */
static struct link *find(struct links *links, uint32_t table, const char *name)
{
    for (int i = 0; i < LINKS_MAX; i++) {
        struct link *link = &links->links[i];
        if (link->number && link->table == table && strcmp(link->name, name) == 0)
            return link;
    }
    return NULL;
}

static struct link *find_number(struct links *links, uint32_t table, uint32_t number)
{
    for (int i = 0; i < LINKS_MAX; i++) {
        struct link *link = &links->links[i];
        if (number && link->number == number && link->table == table)
            return link;
    }
    return NULL;
}

/* A free place, or that of the oldest. Numbers wrap after 2^18 links, long after the oldest of 32
 * is gone. */
static struct link *find_room(struct links *links)
{
    struct link *oldest = NULL;
    uint32_t oldest_age = 0;
    for (int i = 0; i < LINKS_MAX; i++) {
        struct link *link = &links->links[i];
        uint32_t age = (links->last_number - link->number) & (TREE_PARTS_MAX - 1);
        if (!link->number)
            return link;
        if (!oldest || age > oldest_age) {
            oldest = link;
            oldest_age = age;
        }
    }
    return oldest;
}

int links_add(struct links *links, uint32_t table, const char *name, uint64_t version,
              uint32_t *number)
{
    if (strlen(name) > LINK_NAME_MAX)
        return -ENAMETOOLONG;
    scope_lock(&links->lock);
    if (find(links, table, name))
        return -EEXIST;
    struct link *link = find_room(links);
    links->last_number = links->last_number % (TREE_PARTS_MAX - 1) + 1;
    link->table = table;
    link->number = links->last_number;
    link->version = version;
    strcpy(link->name, name);
    *number = link->number;
    return 0;
}

static int copy_out(const struct link *link, struct link *out)
{
    if (!link)
        return -ENOENT;
    *out = *link;
    return 0;
}

int links_find(struct links *links, uint32_t table, const char *name, struct link *out)
{
    scope_lock(&links->lock);
    return copy_out(find(links, table, name), out);
}

int links_find_number(struct links *links, uint32_t table, uint32_t number, struct link *out)
{
    scope_lock(&links->lock);
    return copy_out(find_number(links, table, number), out);
}

int links_remove(struct links *links, uint32_t table, const char *name)
{
    scope_lock(&links->lock);
    struct link *link = find(links, table, name);
    if (!link)
        return -ENOENT;
    link->number = 0;
    return 0;
}
