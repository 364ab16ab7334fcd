/* SPDX-License-Identifier: Apache-2.0 */
/*
 * links: symbolic links that root has made in a table's directory and not yet renamed to `current`.
 *
 * `ln -sfn v/41 current` makes a link of a temporary name and renames it over `current`. These few
 * links live here in between; nothing lists them. Of more than LINKS_MAX the oldest is forgotten.
 *
 * Threads: any; one lock. Memory: plain struct; links_init(). Errors: -EEXIST, -ENOENT,
 * -ENAMETOOLONG.
 */
#ifndef FKV_FUSE_LINKS_H
#define FKV_FUSE_LINKS_H

#include <pthread.h>
#include <stdint.h>

enum { LINKS_MAX = 32, LINK_NAME_MAX = 255 };

struct link {
    uint32_t table;
    uint32_t number; /* its inode's part field; 1 and up, 0: none */
    uint64_t version;
    char name[LINK_NAME_MAX + 1];
};

struct links {
    pthread_mutex_t lock;
    struct link links[LINKS_MAX];
    uint32_t last_number;
};

void links_init(struct links *links);
int links_add(struct links *links, uint32_t table, const char *name, uint64_t version,
              uint32_t *number);
int links_find(struct links *links, uint32_t table, const char *name, struct link *out);
int links_find_number(struct links *links, uint32_t table, uint32_t number, struct link *out);
int links_remove(struct links *links, uint32_t table, const char *name);

#endif
