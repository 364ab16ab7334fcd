/* SPDX-License-Identifier: Apache-2.0 */
#include "faulty_backend.h"

#include <stdlib.h>

struct backend_file {
    struct faulty *faulty;
    struct backend_file *inner;
};

static struct faulty *faulty_of(struct backend *backend)
{
    return (struct faulty *)backend;
}

/* Counts a call. What is to become of it: 0 do it, 1 do it and lose the reply, negative do not. */
static int meet(struct faulty *faulty, const char *op, const char *path, struct err *err)
{
    unsigned n = atomic_fetch_add(&faulty->n_calls, 1) + 1;
    if (faulty->before)
        faulty->before(faulty->context, op, path);
    bool is_due = faulty->nth && n == faulty->nth;
    bool dies = faulty->mode == FAULTY_DIE || faulty->mode == FAULTY_LOSE_AND_DIE;
    bool is_dead = faulty->nth && n > faulty->nth && dies;
    if (!is_due && !is_dead)
        return 0;
    faulty->was_hit = true;
    if (is_due && (faulty->mode == FAULTY_LOSE || faulty->mode == FAULTY_LOSE_AND_DIE))
        return 1;
    return err_sys(err, faulty->code, "faulty %s %s", op, path);
}

static int leave(struct faulty *faulty, int fate, int ret, struct err *err)
{
    return fate && !ret ? err_sys(err, faulty->code, "lost reply") : ret;
}

static void faulty_close(struct backend *backend)
{
    struct faulty *faulty = faulty_of(backend);
    if (!faulty->is_lent)
        faulty->inner->ops->close(faulty->inner);
    free(faulty);
}

static int faulty_stat(struct backend *backend, const char *path, struct store_stat *out,
                       struct err *err)
{
    struct faulty *f = faulty_of(backend);
    int fate = meet(f, "stat", path, err);
    return fate < 0 ? fate : leave(f, fate, f->inner->ops->stat(f->inner, path, out, err), err);
}

static int faulty_list(struct backend *backend, const char *path, struct store_list *out,
                       struct err *err)
{
    struct faulty *f = faulty_of(backend);
    int fate = meet(f, "list", path, err);
    if (fate < 0)
        return fate;
    int ret = f->inner->ops->list(f->inner, path, out, err);
    if (fate && !ret)
        store_list_release(out);
    return leave(f, fate, ret, err);
}

static int wrap(struct faulty *faulty, int fate, struct backend_file *inner,
                struct backend_file **out, struct err *err)
{
    if (fate) {
        faulty->inner->ops->close_file(inner);
        return leave(faulty, fate, 0, err);
    }
    struct backend_file *file = calloc(1, sizeof *file);
    if (!file)
        abort();
    *file = (struct backend_file){faulty, inner};
    *out = file;
    return 0;
}

static int faulty_open(struct backend *backend, const char *path, struct backend_file **out,
                       struct err *err)
{
    struct faulty *f = faulty_of(backend);
    struct backend_file *inner = NULL;
    int fate = meet(f, "open", path, err);
    int ret = fate < 0 ? fate : f->inner->ops->open(f->inner, path, &inner, err);
    return ret ? ret : wrap(f, fate, inner, out, err);
}

static int faulty_create(struct backend *backend, const char *path, struct backend_file **out,
                         struct err *err)
{
    struct faulty *f = faulty_of(backend);
    struct backend_file *inner = NULL;
    int fate = meet(f, "create", path, err);
    int ret = fate < 0 ? fate : f->inner->ops->create(f->inner, path, &inner, err);
    return ret ? ret : wrap(f, fate, inner, out, err);
}

static int faulty_read(struct backend_file *file, uint64_t off, void *data, size_t len,
                       size_t *n_read, struct err *err)
{
    struct faulty *f = file->faulty;
    int fate = meet(f, "read", "", err);
    if (fate < 0)
        return fate;
    return leave(f, fate, f->inner->ops->read(file->inner, off, data, len, n_read, err), err);
}

static int faulty_append(struct backend_file *file, const void *data, size_t len, struct err *err)
{
    struct faulty *f = file->faulty;
    int fate = meet(f, "append", "", err);
    if (fate < 0)
        return fate;
    return leave(f, fate, f->inner->ops->append(file->inner, data, len, err), err);
}

static int faulty_sync(struct backend_file *file, struct err *err)
{
    struct faulty *f = file->faulty;
    int fate = meet(f, "sync", "", err);
    return fate < 0 ? fate : leave(f, fate, f->inner->ops->sync(file->inner, err), err);
}

static void faulty_close_file(struct backend_file *file)
{
    file->faulty->inner->ops->close_file(file->inner);
    free(file);
}

static uint64_t faulty_len(const struct backend_file *file)
{
    return file->faulty->inner->ops->len(file->inner);
}

static int faulty_link(struct backend *backend, const char *from, const char *to, struct err *err)
{
    struct faulty *f = faulty_of(backend);
    int fate = meet(f, "link", to, err);
    return fate < 0 ? fate : leave(f, fate, f->inner->ops->link(f->inner, from, to, err), err);
}

static int faulty_rename(struct backend *backend, const char *from, const char *to, bool replace,
                         struct err *err)
{
    struct faulty *f = faulty_of(backend);
    int fate = meet(f, "rename", to, err);
    if (fate < 0)
        return fate;
    return leave(f, fate, f->inner->ops->rename(f->inner, from, to, replace, err), err);
}

static int faulty_mkdir(struct backend *backend, const char *path, struct err *err)
{
    struct faulty *f = faulty_of(backend);
    int fate = meet(f, "mkdir", path, err);
    return fate < 0 ? fate : leave(f, fate, f->inner->ops->mkdir(f->inner, path, err), err);
}

static int faulty_remove(struct backend *backend, const char *path, bool is_dir, struct err *err)
{
    struct faulty *f = faulty_of(backend);
    int fate = meet(f, "remove", path, err);
    if (fate < 0)
        return fate;
    return leave(f, fate, f->inner->ops->remove(f->inner, path, is_dir, err), err);
}

struct faulty *faulty_new(struct backend *inner, bool is_lent)
{
    static const struct backend_ops ops = {
        .close = faulty_close,
        .stat = faulty_stat,
        .list = faulty_list,
        .open = faulty_open,
        .create = faulty_create,
        .read = faulty_read,
        .append = faulty_append,
        .sync = faulty_sync,
        .close_file = faulty_close_file,
        .len = faulty_len,
        .link = faulty_link,
        .rename = faulty_rename,
        .mkdir = faulty_mkdir,
        .remove = faulty_remove,
    };
    struct faulty *faulty = calloc(1, sizeof *faulty);
    if (!faulty)
        abort();
    faulty->backend.ops = &ops;
    faulty->inner = inner;
    faulty->is_lent = is_lent;
    return faulty;
}

void faulty_arm(struct faulty *faulty, unsigned nth, enum faulty_mode mode, int code)
{
    faulty->n_calls = 0;
    faulty->nth = nth;
    faulty->mode = mode;
    faulty->code = code;
    faulty->was_hit = false;
}

void faulty_disarm(struct faulty *faulty)
{
    faulty->nth = 0;
}
