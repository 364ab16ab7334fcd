/* SPDX-License-Identifier: Apache-2.0 */
#include "memory_backend.h"

#include "base/scope.h"

#include <errno.h>
#include <string.h>

struct blob {
    unsigned n_refs; /* names and open files */
    struct buf bytes;
    struct timespec mtime;
};

struct entry {
    char *path;
    struct blob *blob; /* NULL: a directory */
};

struct memory {
    struct backend backend;
    pthread_mutex_t lock;
    struct entry *entries;
    size_t n_entries;
};

struct backend_file {
    struct memory *memory;
    struct blob *blob;
};

static struct memory *memory_of(struct backend *backend)
{
    return (struct memory *)backend;
}

static void blob_unref(struct blob *blob)
{
    if (!blob || --blob->n_refs)
        return;
    buf_release(&blob->bytes);
    free(blob);
}

static struct entry *find(const struct memory *memory, const char *path)
{
    for (size_t i = 0; i < memory->n_entries; i++)
        if (strcmp(memory->entries[i].path, path) == 0)
            return &memory->entries[i];
    return NULL;
}

/* The part of name below dir, or NULL. */
static char *below(char *name, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(name, dir, len) == 0 && name[len] == '/' ? name + len + 1 : NULL;
}

static int parent_check(const struct memory *memory, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return 0;
    char parent[STORE_PATH_MAX];
    memcpy(parent, path, (size_t)(slash - path));
    parent[slash - path] = '\0';
    const struct entry *entry = find(memory, parent);
    if (!entry)
        return -ENOENT;
    return entry->blob ? -ENOTDIR : 0;
}

static int insert(struct memory *memory, const char *path, struct blob *blob)
{
    int ret = parent_check(memory, path);
    if (ret)
        return ret;
    if (find(memory, path))
        return -EEXIST;
    struct entry *grown = realloc(memory->entries, (memory->n_entries + 1) * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    memory->entries = grown;
    char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    memory->entries[memory->n_entries++] = (struct entry){copy, blob};
    return 0;
}

static void drop(struct memory *memory, struct entry *entry)
{
    free(entry->path);
    blob_unref(entry->blob);
    *entry = memory->entries[--memory->n_entries];
}

static int fail(int code, const char *path, struct err *err)
{
    return err_sys(err, code, "memory:/%s", path);
}

static void memory_close(struct backend *backend)
{
    struct memory *memory = memory_of(backend);
    while (memory->n_entries)
        drop(memory, &memory->entries[memory->n_entries - 1]);
    free(memory->entries);
    pthread_mutex_destroy(&memory->lock);
    free(memory);
}

static int memory_stat(struct backend *backend, const char *path, struct store_stat *out,
                       struct err *err)
{
    struct memory *memory = memory_of(backend);
    scope_lock(&memory->lock);
    const struct entry *entry = find(memory, path);
    if (!entry)
        return fail(-ENOENT, path, err);
    *out = (struct store_stat){.is_dir = !entry->blob};
    if (entry->blob) {
        out->len = entry->blob->bytes.len;
        out->mtime = entry->blob->mtime;
    }
    return 0;
}

static int memory_list(struct backend *backend, const char *path, struct store_list *out,
                       struct err *err)
{
    struct memory *memory = memory_of(backend);
    scope_lock(&memory->lock);
    const struct entry *dir = find(memory, path);
    if (!dir || dir->blob)
        return fail(dir ? -ENOTDIR : -ENOENT, path, err);
    struct store_list list = {.names = calloc(memory->n_entries, sizeof *list.names)};
    if (!list.names)
        return fail(-ENOMEM, path, err);
    for (size_t i = 0; i < memory->n_entries; i++) {
        const char *name = below(memory->entries[i].path, path);
        if (!name || strchr(name, '/'))
            continue;
        list.names[list.n_names] = strdup(name);
        if (!list.names[list.n_names++]) {
            store_list_release(&list);
            return fail(-ENOMEM, path, err);
        }
    }
    *out = list;
    return 0;
}

static int file_new(struct memory *memory, struct blob *blob, struct backend_file **out)
{
    struct backend_file *file = calloc(1, sizeof *file);
    if (!file)
        return -ENOMEM;
    *file = (struct backend_file){memory, blob};
    blob->n_refs++;
    *out = file;
    return 0;
}

static int memory_open(struct backend *backend, const char *path, struct backend_file **out,
                       struct err *err)
{
    struct memory *memory = memory_of(backend);
    scope_lock(&memory->lock);
    const struct entry *entry = find(memory, path);
    if (!entry || !entry->blob)
        return fail(entry ? -EISDIR : -ENOENT, path, err);
    int ret = file_new(memory, entry->blob, out);
    return ret ? fail(ret, path, err) : 0;
}

static int memory_create(struct backend *backend, const char *path, struct backend_file **out,
                         struct err *err)
{
    struct memory *memory = memory_of(backend);
    scope_lock(&memory->lock);
    struct blob *blob = calloc(1, sizeof *blob);
    if (!blob)
        return fail(-ENOMEM, path, err);
    blob->n_refs = 1;
    clock_gettime(CLOCK_REALTIME, &blob->mtime);
    int ret = insert(memory, path, blob);
    if (!ret)
        ret = file_new(memory, blob, out);
    else
        blob_unref(blob);
    return ret ? fail(ret, path, err) : 0;
}

static int memory_read(struct backend_file *file, uint64_t off, void *data, size_t len,
                       size_t *n_read, struct err *err)
{
    scope_lock(&file->memory->lock);
    const struct buf *bytes = &file->blob->bytes;
    size_t left = off < bytes->len ? bytes->len - (size_t)off : 0;
    *n_read = len < left ? len : left;
    if (*n_read)
        memcpy(data, bytes->data + off, *n_read);
    return 0;
}

static int memory_append(struct backend_file *file, const void *data, size_t len, struct err *err)
{
    scope_lock(&file->memory->lock);
    return buf_add(&file->blob->bytes, data, len);
}

static int memory_sync(struct backend_file *file, struct err *err)
{
    return 0;
}

static void memory_close_file(struct backend_file *file)
{
    {
        scope_lock(&file->memory->lock);
        blob_unref(file->blob);
    }
    free(file);
}

static uint64_t memory_len(const struct backend_file *file)
{
    scope_lock(&file->memory->lock);
    return file->blob->bytes.len;
}

static int memory_link(struct backend *backend, const char *from, const char *to, struct err *err)
{
    struct memory *memory = memory_of(backend);
    scope_lock(&memory->lock);
    const struct entry *entry = find(memory, from);
    if (!entry || !entry->blob)
        return fail(entry ? -EPERM : -ENOENT, from, err);
    struct blob *blob = entry->blob;
    int ret = insert(memory, to, blob);
    if (ret)
        return fail(ret, to, err);
    blob->n_refs++;
    return 0;
}

static bool is_empty_dir(const struct memory *memory, const struct entry *dir)
{
    for (size_t i = 0; i < memory->n_entries; i++)
        if (below(memory->entries[i].path, dir->path))
            return false;
    return !dir->blob;
}

/* Gives every entry at or below from a path at or below to. */
static int move(struct memory *memory, const char *from, const char *to)
{
    for (size_t i = 0; i < memory->n_entries; i++) {
        struct entry *entry = &memory->entries[i];
        const char *rest = below(entry->path, from);
        if (!rest && strcmp(entry->path, from) != 0)
            continue;
        struct buf path = {0};
        if (buf_printf(&path, "%s%s%s", to, rest ? "/" : "", rest ? rest : ""))
            return -ENOMEM;
        free(entry->path);
        entry->path = (char *)path.data;
    }
    return 0;
}

static int memory_rename(struct backend *backend, const char *from, const char *to, bool replace,
                         struct err *err)
{
    struct memory *memory = memory_of(backend);
    scope_lock(&memory->lock);
    const struct entry *source = find(memory, from);
    struct entry *target = find(memory, to);
    int ret = source ? parent_check(memory, to) : -ENOENT;
    if (ret)
        return fail(ret, to, err);
    bool is_dir = !source->blob;
    if (target && (is_dir ? !is_empty_dir(memory, target) : !replace))
        return fail(-EEXIST, to, err);
    if (target && !is_dir && !target->blob)
        return fail(-EISDIR, to, err);
    if (target)
        drop(memory, target);
    ret = move(memory, from, to);
    return ret ? fail(ret, to, err) : 0;
}

static int memory_mkdir(struct backend *backend, const char *path, struct err *err)
{
    struct memory *memory = memory_of(backend);
    scope_lock(&memory->lock);
    int ret = insert(memory, path, NULL);
    return ret ? fail(ret, path, err) : 0;
}

static int memory_remove(struct backend *backend, const char *path, bool is_dir, struct err *err)
{
    struct memory *memory = memory_of(backend);
    scope_lock(&memory->lock);
    struct entry *entry = find(memory, path);
    if (!entry)
        return fail(-ENOENT, path, err);
    if (is_dir != !entry->blob)
        return fail(is_dir ? -ENOTDIR : -EISDIR, path, err);
    if (is_dir && !is_empty_dir(memory, entry))
        return fail(-ENOTEMPTY, path, err);
    drop(memory, entry);
    return 0;
}

struct backend *memory_backend_new(void)
{
    static const struct backend_ops ops = {
        .close = memory_close,
        .stat = memory_stat,
        .list = memory_list,
        .open = memory_open,
        .create = memory_create,
        .read = memory_read,
        .append = memory_append,
        .sync = memory_sync,
        .close_file = memory_close_file,
        .len = memory_len,
        .link = memory_link,
        .rename = memory_rename,
        .mkdir = memory_mkdir,
        .remove = memory_remove,
    };
    struct memory *memory = calloc(1, sizeof *memory);
    if (!memory)
        abort();
    memory->backend.ops = &ops;
    pthread_mutex_init(&memory->lock, NULL);
    return &memory->backend;
}
