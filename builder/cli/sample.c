/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/cli/sample.h"

#include "base/bytes.h"
#include "base/scope.h"
#include "builder/number.h"
#include "format/part.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum { KEY_STRIDE = 256 }; /* room for a key of any length, so that one can take another's place */

int sample_init(struct sample *s, enum key_type key_type, size_t cap, struct err *err)
{
    *s = (struct sample){.key_type = key_type, .cap = cap, .random = 0x9e3779b97f4a7c15ULL};
    if (key_type == KEY_U64) {
        s->ids = calloc(cap, sizeof *s->ids);
    } else {
        s->keys = calloc(cap, sizeof *s->keys);
        s->lens = calloc(cap, 1);
        buf_reserve(&s->bytes, cap * KEY_STRIDE);
    }
    if (s->ids || (s->keys && s->lens && s->bytes.data))
        return 0;
    sample_release(s);
    return err_sys(err, -ENOMEM, "room for %zu keys", cap);
}

void sample_release(struct sample *s)
{
    free(s->ids);
    free(s->keys);
    free(s->lens);
    buf_release(&s->bytes);
    *s = (struct sample){0};
}

/* xorshift64*: any order will do, the same every time is better. */
static uint64_t next_random(struct sample *s)
{
    s->random ^= s->random >> 12;
    s->random ^= s->random << 25;
    s->random ^= s->random >> 27;
    return s->random * 0x2545f4914f6cdd1dULL;
}

static void put(struct sample *s, size_t at, uint64_t id, const void *key, uint8_t len)
{
    if (s->key_type == KEY_U64) {
        s->ids[at] = id;
        return;
    }
    uint8_t *room = s->bytes.data + at * KEY_STRIDE;
    memcpy(room, key, len);
    s->keys[at] = room;
    s->lens[at] = len;
}

/* Reservoir sampling. */
void sample_offer(struct sample *s, uint64_t id, const void *key, uint8_t len)
{
    s->seen++;
    if (s->n < s->cap) {
        put(s, s->n++, id, key, len);
        return;
    }
    uint64_t at = next_random(s) % s->seen;
    if (at < s->cap)
        put(s, (size_t)at, id, key, len);
}

static void swap(struct sample *s, size_t i, size_t j)
{
    if (s->key_type == KEY_U64) {
        uint64_t id = s->ids[i];
        s->ids[i] = s->ids[j];
        s->ids[j] = id;
        return;
    }
    const void *key = s->keys[i];
    uint8_t len = s->lens[i];
    s->keys[i] = s->keys[j];
    s->lens[i] = s->lens[j];
    s->keys[j] = key;
    s->lens[j] = len;
}

static int finish(struct sample *s, const char *where, struct err *err)
{
    if (!s->n)
        return err_set(err, -ENOENT, "%s: no keys to ask for", where);
    for (size_t i = s->n - 1; i > 0; i--)
        swap(s, i, (size_t)(next_random(s) % (i + 1)));
    return 0;
}

int sample_read(int fd, uint64_t off, void *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pread(fd, (uint8_t *)data + done, len - done, (off_t)(off + done));
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        done += (size_t)n;
    }
    return 0;
}

static int offer_mem_part(struct sample *s, int fd, size_t len, const char *path, struct err *err)
{
    scope_free uint8_t *data = aligned_alloc(PART_ALIGN, align_up(len + 1, PART_ALIGN));
    if (!data)
        return err_sys(err, -ENOMEM, "%s: %zu bytes; name keys with --keys", path, len);
    int rc = sample_read(fd, 0, data, len);
    if (rc)
        return err_sys(err, rc, "reading %s", path);
    struct part *part = NULL;
    rc = part_open(data, len, path, &part, err);
    if (rc)
        return rc;
    struct part_entry entry;
    uint64_t cursor = 0;
    if (part_info(part)->key_type != s->key_type)
        rc = err_set(err, -EBADMSG, "%s: keys of another type than the table says", path);
    while (!rc && part_next(part, &cursor, &entry) > 0) {
        if (!entry.tombstone)
            sample_offer(s, entry.key, entry.key_bytes, entry.key_len);
    }
    part_free(part);
    return rc;
}

static int offer_part(struct sample *s, const char *path, size_t n_parts, struct err *err)
{
    scope_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    bool is_mem = false;
    if (fd < 0 || fstat(fd, &st))
        return err_sys(err, -errno, "%s", path);
    int rc = sample_disk_part(s, fd, (uint64_t)st.st_size, path, n_parts, &is_mem, err);
    if (rc || !is_mem || s->seen >= 4 * s->cap)
        return rc;
    return offer_mem_part(s, fd, (size_t)st.st_size, path, err);
}

int sample_parts(struct sample *s, const char *version_dir, struct err *err)
{
    char dir[PATH_MAX], path[PATH_MAX];
    if (snprintf(dir, sizeof dir, "%s/parts", version_dir) >= (int)sizeof dir)
        return err_set(err, -ENAMETOOLONG, "%s: the path is too long", version_dir);
    struct dirent **names = NULL;
    int n = scandir(dir, &names, NULL, alphasort);
    if (n < 0)
        return err_sys(err, -errno, "looking for parts in %s", dir);
    int rc = 0;
    for (int i = 0; i < n; i++) {
        bool wanted = !rc && names[i]->d_name[0] != '.';
        if (wanted &&
            snprintf(path, sizeof path, "%s/%s", dir, names[i]->d_name) < (int)sizeof path)
            rc = offer_part(s, path, (size_t)n, err);
        free(names[i]);
    }
    free(names);
    return rc ? rc : finish(s, dir, err);
}

int sample_file(struct sample *s, const char *path, struct err *err)
{
    scope_fclose FILE *file = !strcmp(path, "-") ? fdopen(dup(0), "r") : fopen(path, "r");
    scope_free char *line = NULL;
    size_t cap = 0;
    uint64_t number = 0;
    ssize_t len;
    if (!file)
        return err_sys(err, -errno, "%s", path);
    while ((len = getline(&line, &cap, file)) > 0) {
        uint64_t id = 0;
        number++;
        len -= line[len - 1] == '\n';
        if (s->key_type == KEY_U64 && number_u64(line, (size_t)len, &id))
            return err_set(err, -EINVAL, "%s:%llu: expected a u64 key, found '%.*s'", path,
                           (unsigned long long)number, (int)(len < 80 ? len : 80), line);
        if (len < 1 || len > KEY_BYTES_MAX)
            return err_set(err, -EINVAL, "%s:%llu: a key has 1 to %d bytes, found %zd", path,
                           (unsigned long long)number, KEY_BYTES_MAX, len);
        sample_offer(s, id, line, (uint8_t)len);
    }
    return finish(s, path, err);
}
