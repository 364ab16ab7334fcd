/* SPDX-License-Identifier: Apache-2.0 */
#include "node/version_impl.h"

#include "base/scope.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(offsetof(struct version, counted) == 0, "version_of() casts");
_Static_assert(offsetof(struct version_files, counted) == 0, "files_release() casts");

static void files_release(struct counted *counted)
{
    struct version_files *files = (struct version_files *)counted;
    buf_release(&files->json);
    version_desc_release(&files->desc);
    free(files->names);
    free(files);
}

static void version_free(struct grave *grave)
{
    struct version *version = (struct version *)((char *)grave - offsetof(struct version, grave));
    mem_table_free(version->mem);
    disk_table_free(version->disk);
    if (version->parts)
        for (size_t i = 0; i < version->files->desc.n_parts; i++)
            part_memory_release(version->registry, version->parts[i]);
    free(version->parts);
    counted_unpin(&version->files->counted);
    free(version);
}

static void version_release(struct counted *counted)
{
    struct version *version = version_of(counted);
    part_memory_bury(version->registry, &version->grave);
}

static struct version *version_alloc(struct version_files *files, struct part_memory *registry)
{
    struct version *version = calloc(1, sizeof *version);
    if (!version)
        return NULL;
    counted_init(&version->counted, version_release);
    version->grave.free = version_free;
    version->files = files;
    version->registry = registry;
    return version;
}

/* A decimal id is itself. Returns false when the host does not know the name. */
static bool id_from_text(const char *text, uint32_t *id)
{
    char *end = NULL;
    unsigned long number = strtoul(text, &end, 10);
    if (end == text || *end || number >= UINT32_MAX)
        return false;
    *id = (uint32_t)number;
    return true;
}

static bool user_find(const char *name, uid_t *uid)
{
    char scratch[4096];
    struct passwd passwd;
    struct passwd *found = NULL;
    if (id_from_text(name, uid))
        return true;
    if (getpwnam_r(name, &passwd, scratch, sizeof scratch, &found) || !found)
        return false;
    *uid = found->pw_uid;
    return true;
}

static bool group_find(const char *name, gid_t *gid)
{
    char scratch[16384];
    struct group group;
    struct group *found = NULL;
    if (id_from_text(name, gid))
        return true;
    if (getgrnam_r(name, &group, scratch, sizeof scratch, &found) || !found)
        return false;
    *gid = found->gr_gid;
    return true;
}

static void files_set_owner(struct version_files *files)
{
    const struct schema *schema = &files->desc.schema;
    files->uid = geteuid();
    files->gid = getegid();
    if (schema->owner[0] && !user_find(schema->owner, &files->uid))
        files->owner_unknown = true;
    if (schema->group[0] && !group_find(schema->group, &files->gid))
        files->owner_unknown = true;
}

static void files_set_time(struct version_files *files)
{
    struct tm tm = {0};
    const char *created = files->desc.created;
    if (created && strptime(created, "%Y-%m-%dT%H:%M:%S", &tm))
        files->time.tv_sec = timegm(&tm);
}

/* What follows from the decoded version.json. */
static int files_fill(struct version_files *files, uint64_t id, const char *name, struct err *err)
{
    int ret = version_desc_decode(files->json.data, files->json.len, name, &files->desc, err);
    if (ret)
        return ret;
    if (files->desc.version != id)
        return err_set(err, -EBADMSG, "%s: expected version %llu, found %llu", name,
                       (unsigned long long)id, (unsigned long long)files->desc.version);
    files->names = calloc(files->desc.n_parts, sizeof *files->names);
    if (!files->names)
        return err_sys(err, -ENOMEM, "%s: names of %zu parts", name, files->desc.n_parts);
    for (size_t i = 0; i < files->desc.n_parts; i++)
        part_file_name(&files->desc.parts[i], files->names[i]);
    files_set_owner(files);
    files_set_time(files);
    return 0;
}

int version_new_cached(const struct cache *cache, struct part_memory *registry,
                       const char *table_name, uint64_t id, const struct digest *digest,
                       struct version **out, struct err *err)
{
    char name[CACHE_PATH_MAX];
    cache_version_path(table_name, id, name);
    struct version_files *files = calloc(1, sizeof *files);
    struct version *version = files ? version_alloc(files, registry) : NULL;
    if (!version) {
        free(files);
        return err_sys(err, -ENOMEM, "%s", name);
    }
    counted_init(&files->counted, files_release);
    files->cache = cache;
    files->digest = *digest;
    int ret = cache_version_get(cache, table_name, id, digest, &files->json, err);
    if (!ret)
        ret = files_fill(files, id, name, err);
    if (ret) {
        version_free(&version->grave);
        return ret;
    }
    *out = version;
    return 0;
}

/* Parts in the order that tables want: level-major, which is the order of desc.parts. */
static int make_mem_table(struct version *version, struct err *err)
{
    const struct version_desc *desc = &version->files->desc;
    scope_free const struct part **views = calloc(desc->n_parts, sizeof(const struct part *));
    if (!views)
        return err_sys(err, -ENOMEM, "views of %zu parts", desc->n_parts);
    for (size_t i = 0; i < desc->n_parts; i++)
        views[i] = version->parts[i]->view;
    return mem_table_new(&desc->schema, desc->n_levels, views, &version->mem, err);
}

static int make_disk_table(struct version *version, struct err *err)
{
    const struct version_desc *desc = &version->files->desc;
    struct disk_shared *shared = disk_parts_shared(part_memory_disk(version->registry));
    scope_free struct disk_part **parts = calloc(desc->n_parts, sizeof(struct disk_part *));
    if (!parts)
        return err_sys(err, -ENOMEM, "%zu parts on disk", desc->n_parts);
    for (size_t i = 0; i < desc->n_parts; i++)
        parts[i] = version->parts[i]->disk;
    return disk_table_new(&desc->schema, desc->n_levels, parts, shared, &version->disk, err);
}

/* One digest may not stand for parts of two kinds: no builder makes that, but a store may say it. */
static int check_kinds(const struct version *version, struct err *err)
{
    const struct version_desc *desc = &version->files->desc;
    bool is_mem = desc->schema.kind == KIND_MEM;
    for (size_t i = 0; i < desc->n_parts; i++)
        if ((version->parts[i]->view != NULL) != is_mem)
            return err_set(err, -EBADMSG, "%s is no part of a %s table", version->files->names[i],
                           table_kind_name(desc->schema.kind));
    return 0;
}

static int make_table(struct version *version, struct err *err)
{
    int ret = check_kinds(version, err);
    if (ret)
        return ret;
    for (size_t i = 0; i < version->files->desc.n_parts; i++)
        version->memory += version->parts[i]->memory.mapped;
    return version->files->desc.schema.kind == KIND_MEM ? make_mem_table(version, err)
                                                        : make_disk_table(version, err);
}

int version_new_loaded(const struct version *cached, struct loaded_part **parts,
                       struct version **out, struct err *err)
{
    struct version_files *files = cached->files;
    struct version *version = version_alloc(files, cached->registry);
    if (!version) {
        for (size_t i = 0; i < files->desc.n_parts; i++)
            part_memory_release(cached->registry, parts[i]);
        free(parts);
        return err_sys(err, -ENOMEM, "version %llu", (unsigned long long)files->desc.version);
    }
    counted_pin(&files->counted);
    version->parts = parts;
    int ret = make_table(version, err);
    if (ret) {
        version_free(&version->grave);
        return ret;
    }
    *out = version;
    return 0;
}

void version_pin(struct version *version)
{
    counted_pin(&version->counted);
}

void version_unpin(struct version *version)
{
    if (version)
        counted_unpin(&version->counted);
}

uint64_t version_id(const struct version *version)
{
    return version->files->desc.version;
}

struct timespec version_time(const struct version *version)
{
    return version->files->time;
}

const struct mem_table *version_mem(const struct version *version)
{
    return version->mem;
}

const struct disk_table *version_disk(const struct version *version)
{
    return version->disk;
}

bool version_is_loaded(const struct version *version)
{
    return version->mem || version->disk;
}

const struct schema *version_schema(const struct version *version)
{
    return &version->files->desc.schema;
}

void version_access(const struct version *version, uid_t *uid, gid_t *gid, uint32_t *mode)
{
    *uid = version->files->uid;
    *gid = version->files->gid;
    *mode = version->files->desc.schema.mode & 0777;
}

const char *version_json(const struct version *version, size_t *len)
{
    *len = version->files->json.len;
    return (const char *)version->files->json.data;
}

size_t version_n_parts(const struct version *version)
{
    return version->files->desc.n_parts;
}

const char *version_part_name(const struct version *version, size_t i)
{
    return version->files->names[i];
}

uint64_t version_part_len(const struct version *version, size_t i)
{
    return version->files->desc.parts[i].len;
}

int version_part_open(const struct version *version, size_t i)
{
    return cache_part_open(version->files->cache, &version->files->desc.parts[i].digest);
}

uint64_t version_n_keys(const struct version *version)
{
    return version->files->desc.n_keys;
}

uint64_t version_memory(const struct version *version)
{
    return version->memory;
}
