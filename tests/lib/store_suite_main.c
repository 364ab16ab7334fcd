/* SPDX-License-Identifier: Apache-2.0 */
/* The store's suite over a URL: see store_suite.h. */
#include "store_suite.h"
#include "temp_dir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct place {
    const char *url;
    const char *dir; /* NULL: not seen from here */
    struct store *parent;
    unsigned n_opened;
    char name[64]; /* of the case's directory */
    char case_dir[STORE_URL_MAX];
    char outside[TEMP_DIR_MAX];
};

/* "scheme://host/dir?options" with a name below dir. */
static void url_below(const char *url, const char *name, char out[STORE_URL_MAX])
{
    size_t len = strcspn(url, "?");
    if (snprintf(out, STORE_URL_MAX, "%.*s/%s%s", (int)len, url, name, url + len) >= STORE_URL_MAX)
        abort();
}

static int write_secret(const char *dir)
{
    char path[TEMP_DIR_MAX + 16];
    snprintf(path, sizeof path, "%s/secret", dir);
    FILE *file = fopen(path, "w");
    if (!file)
        return -errno;
    fputs("secret", file);
    return fclose(file) == 0 ? 0 : -EIO;
}

static int place_open(void *context, struct store_case *out)
{
    struct place *place = context;
    char url[STORE_URL_MAX];
    struct err err = {0};
    snprintf(place->name, sizeof place->name, "suite-%ld-%u", (long)getpid(), place->n_opened++);
    url_below(place->url, place->name, url);
    int ret = store_mkdir(place->parent, place->name, &err);
    if (!ret)
        ret = store_open(url, &out->store, &err);
    if (ret)
        fprintf(stderr, "store_suite_main: %s\n", err_text(&err, ret));
    if (ret || !place->dir)
        return ret;
    snprintf(place->case_dir, sizeof place->case_dir, "%s/%s", place->dir, place->name);
    temp_dir_make(place->outside);
    out->dir = place->case_dir;
    out->outside = place->outside;
    return write_secret(place->outside);
}

static void place_close(void *context, struct store_case *at)
{
    struct place *place = context;
    struct err err = {0};
    store_close(at->store);
    int ret = store_remove_tree(place->parent, place->name, &err);
    if (ret)
        fprintf(stderr, "store_suite_main: %s\n", err_text(&err, ret));
    if (at->outside)
        temp_dir_remove(place->outside);
}

int main(int argc, char **argv)
{
    struct err err = {0};
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: store_suite_main URL [DIR]\n");
        return 2;
    }
    struct place place = {.url = argv[1], .dir = argv[2]};
    int ret = store_open(place.url, &place.parent, &err);
    if (ret) {
        fprintf(stderr, "store_suite_main: %s\n", err_text(&err, ret));
        return 2;
    }
    const struct store_suite suite = {"url", place_open, place_close, &place};
    int n_failed = store_suite_run(&suite);
    store_close(place.parent);
    return n_failed > 100 ? 100 : n_failed;
}
