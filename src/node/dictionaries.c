/* SPDX-License-Identifier: Apache-2.0 */
#include "node/dictionaries.h"

#include "base/scope.h"

#include <errno.h>
#include <stdlib.h>

void dictionaries_init(struct dictionaries *dictionaries)
{
    *dictionaries = (struct dictionaries){0};
    pthread_mutex_init(&dictionaries->lock, NULL);
}

void dictionaries_release(struct dictionaries *dictionaries)
{
    pthread_mutex_destroy(&dictionaries->lock);
}

/* There are a few a table: a list does. */
static struct shared_dictionary *find(const struct dictionaries *dictionaries,
                                      const struct digest *digest, size_t len)
{
    struct shared_dictionary *shared = dictionaries->first;
    while (shared && (shared->len != len || !digest_equal(&shared->digest, digest)))
        shared = shared->next;
    return shared;
}

int dictionaries_hold(struct dictionaries *dictionaries, const void *data, size_t len,
                      struct shared_dictionary **out, struct err *err)
{
    struct digest digest;
    *out = NULL;
    if (len == 0)
        return 0;
    digest_of(data, len, &digest);
    scope_lock(&dictionaries->lock);
    struct shared_dictionary *shared = find(dictionaries, &digest, len);
    if (!shared) {
        shared = calloc(1, sizeof *shared);
        if (!shared)
            return err_sys(err, -ENOMEM, "a dictionary");
        int ret = zstd_dictionary_new(data, len, &shared->dictionary, err);
        if (ret) {
            free(shared);
            return ret;
        }
        shared->digest = digest;
        shared->len = len;
        shared->next = dictionaries->first;
        dictionaries->first = shared;
    }
    shared->n_holders++;
    *out = shared;
    return 0;
}

void dictionaries_let_go(struct dictionaries *dictionaries, struct shared_dictionary *shared)
{
    if (!shared)
        return;
    scope_lock(&dictionaries->lock);
    if (--shared->n_holders > 0)
        return;
    struct shared_dictionary **at = &dictionaries->first;
    while (*at != shared)
        at = &(*at)->next;
    *at = shared->next;
    zstd_dictionary_free(shared->dictionary);
    free(shared);
}
