/* SPDX-License-Identifier: Apache-2.0 */
#include "node_fixture.h"

#include "base/scope.h"
#include "format/version.h"
#include "node/disk_table.h"
#include "paged_fixture.h"
#include "table_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void must(int ret, const struct err *err, const char *what)
{
    if (!ret)
        return;
    fprintf(stderr, "node fixture: %s: %s\n", what, err_text(err, ret));
    abort();
}

static void make_store(struct node_fixture *fixture)
{
    struct err err = {0};
    snprintf(fixture->store_dir, sizeof fixture->store_dir, "%s/store", fixture->dir);
    must(mkdir(fixture->store_dir, 0755), NULL, "mkdir");
    must(store_open(fixture->store_dir, &fixture->store, &err), &err, "store_open");
    must(manifest_init_store(fixture->store, &err), &err, "manifest_init_store");
    must(manifest_open(fixture->store, &fixture->manifest, &err), &err, "manifest_open");
}

void node_fixture_init(struct node_fixture *fixture)
{
    *fixture = (struct node_fixture){0};
    pthread_mutex_init(&fixture->lock, NULL);
    temp_dir_make(fixture->dir);
    make_store(fixture);
}

void node_fixture_init_fast(struct node_fixture *fixture)
{
    *fixture = (struct node_fixture){0};
    pthread_mutex_init(&fixture->lock, NULL);
    temp_dir_make_fast(fixture->dir);
    make_store(fixture);
}

void node_fixture_release(struct node_fixture *fixture)
{
    manifest_close(fixture->manifest);
    store_close(fixture->store);
    temp_dir_remove(fixture->dir);
    pthread_mutex_destroy(&fixture->lock);
}

static void fill_value(uint8_t *value, uint32_t len, uint32_t tag, uint64_t key)
{
    for (uint32_t i = 0; i < len; i++)
        value[i] = (uint8_t)(hash_u64(key + tag, i) >> 11);
    store_le64(value, (uint64_t)tag << 32 | key);
}

/* Chunk digests and the whole's. */
static void describe_part(struct part_desc *desc, const struct buf *bytes)
{
    desc->len = bytes->len;
    digest_of(bytes->data, bytes->len, &desc->digest);
    desc->n_chunks = (uint32_t)((bytes->len + PART_CHUNK_LEN - 1) / PART_CHUNK_LEN);
    desc->chunks = calloc(desc->n_chunks, sizeof *desc->chunks);
    FIXTURE_MUST(desc->chunks);
    for (uint32_t i = 0; i < desc->n_chunks; i++) {
        size_t off = (size_t)i * PART_CHUNK_LEN;
        size_t left = bytes->len - off;
        digest_of(bytes->data + off, left < PART_CHUNK_LEN ? left : PART_CHUNK_LEN,
                  &desc->chunks[i]);
    }
}

static uint64_t next_id(struct node_fixture *fixture, const char *table)
{
    const struct table_state *state = state_find_table(manifest_state(fixture->manifest), table);
    return state && state->n_versions ? state->versions[state->n_versions - 1].version + 1 : 1;
}

static void version_dir(const char *table, uint64_t id, char out[STORE_PATH_MAX])
{
    snprintf(out, STORE_PATH_MAX, "tables/%s/v/%llu", table, (unsigned long long)id);
}

/* The base's parts, linked into the new version's directory. */
static void take_base(struct node_fixture *fixture, const char *table, uint64_t id, uint64_t base,
                      struct version_desc *out)
{
    char dir[STORE_PATH_MAX];
    char path[STORE_PATH_MAX + 128];
    char to[STORE_PATH_MAX + 128];
    char name[PART_FILE_NAME_MAX];
    struct buf json = {0};
    struct err err = {0};
    version_dir(table, base, dir);
    snprintf(path, sizeof path, "%s/version.json", dir);
    must(store_get(fixture->store, path, VERSION_JSON_MAX, &json, &err), &err, "base");
    must(version_desc_decode(json.data, json.len, path, out, &err), &err, "base");
    buf_release(&json);
    for (size_t i = 0; i < out->n_parts; i++) {
        part_file_name(&out->parts[i], name);
        snprintf(path, sizeof path, "%s/parts/%s", dir, name);
        snprintf(to, sizeof to, "tables/%s/v/%llu/parts/%s", table, (unsigned long long)id, name);
        must(store_link(fixture->store, path, to, &err), &err, "link");
    }
}

/* What the values are when they are compressed: encoded anew, the caller frees. */
static uint8_t *encode_values(const struct buf *dictionary, struct part_entry *entries, uint64_t n)
{
    struct zstd_encoder *encoder = NULL;
    struct buf all = {0};
    struct buf one = {0};
    size_t *offs = calloc(n + 1, sizeof *offs);
    FIXTURE_MUST(offs);
    must(zstd_encoder_new(3, dictionary->data, dictionary->len, &encoder, NULL), NULL, "encoder");
    for (uint64_t i = 0; i < n; i++) {
        must(zstd_value_encode(encoder, entries[i].value, entries[i].value_len, &one), NULL,
             "zstd");
        offs[i] = all.len;
        must(buf_add(&all, one.data, one.len), NULL, "buf_add");
        entries[i].value_len = (uint32_t)one.len;
    }
    for (uint64_t i = 0; i < n; i++)
        entries[i].value = all.data + offs[i];
    zstd_encoder_free(encoder);
    buf_release(&one);
    free(offs);
    return all.data;
}

static void write_part(const struct build *build, const struct schema *schema,
                       struct part_desc *part, struct part_entry *entries, struct buf *bytes)
{
    struct err err = {0};
    struct paged_params params = {.schema = schema,
                                  .shard = part->shard,
                                  .level = part->level,
                                  .n_entries = part->n_keys,
                                  .n_bytes = part->n_keys * 80,
                                  .has_filter = true};
    if (build->dictionary) {
        params.compression = COMPRESSION_ZSTD;
        params.dictionary = (struct paged_bytes){build->dictionary->data, build->dictionary->len};
    }
    if (schema->kind == KIND_MEM)
        must(
            fixture_write(schema, part->level, part->shard, 0, entries, build->n_keys, bytes, &err),
            &err, "part");
    else if (schema->kind == KIND_BLK)
        must(paged_fixture_write_blk(&params, entries, build->n_keys, bytes, &err), &err, "part");
    else
        must(paged_fixture_write_idx(&params, entries, build->n_keys, bytes, &err), &err, "part");
    if (schema->kind != KIND_MEM) {
        uint64_t tail_off = 0;
        struct paged_info info;
        must(paged_tail(bytes->data + bytes->len - PART_FOOTER_LEN, bytes->len, "part", &tail_off,
                        &info, &err),
             &err, "paged_tail");
        part->tail_len = bytes->len - tail_off + (build->lies_about_tail ? BLOCK_PAGE : 0);
    }
}

static void add_level(struct node_fixture *fixture, const char *table, uint64_t id,
                      const struct build *build, struct version_desc *desc)
{
    uint32_t value_len = build->value_len ? build->value_len : 64;
    uint32_t level = desc->n_levels++;
    size_t n_parts = desc->n_parts + desc->schema.n_shards;
    uint8_t *values = malloc(build->n_keys * value_len + 1);
    struct part_entry *entries = calloc(build->n_keys + 1, sizeof *entries);
    desc->parts = realloc(desc->parts, n_parts * sizeof *desc->parts);
    FIXTURE_MUST(values && entries && desc->parts);
    for (uint64_t i = 0; i < build->n_keys; i++) {
        fill_value(values + i * value_len, value_len, build->tag, build->first + i);
        entries[i] =
            fixture_u64(&desc->schema, build->first + i, values + i * value_len, value_len);
    }
    uint8_t *encoded =
        build->dictionary ? encode_values(build->dictionary, entries, build->n_keys) : NULL;
    for (uint32_t shard = 0; shard < desc->schema.n_shards; shard++) {
        struct part_desc *part = &desc->parts[desc->n_parts++];
        struct buf bytes = {0};
        struct err err = {0};
        char name[PART_FILE_NAME_MAX];
        char path[STORE_PATH_MAX];
        *part = (struct part_desc){.shard = shard, .level = level};
        for (uint64_t i = 0; i < build->n_keys; i++)
            part->n_keys += schema_shard(&desc->schema, entries[i].hash) == shard;
        write_part(build, &desc->schema, part, entries, &bytes);
        describe_part(part, &bytes);
        part_file_name(part, name);
        snprintf(path, sizeof path, "tables/%s/v/%llu/parts/%s", table, (unsigned long long)id,
                 name);
        must(store_put_new(fixture->store, path, bytes.data, bytes.len, &err), &err, "put");
        buf_release(&bytes);
    }
    desc->n_entries = build->n_keys;
    free(encoded);
    free(values);
    free(entries);
}

static struct schema build_schema(const struct build *build)
{
    char value[VALUE_TEXT_MAX];
    snprintf(value, sizeof value, "bytes[%u]", build->value_len ? build->value_len : 64);
    struct schema schema = fixture_schema(KEY_U64, value, build->n_shards ? build->n_shards : 1);
    if (build->kind)
        schema.kind = build->kind;
    if (build->owner)
        snprintf(schema.owner, sizeof schema.owner, "%s", build->owner);
    if (build->mode)
        schema.mode = build->mode;
    return schema;
}

static void replace_text(char **text, const char *with)
{
    free(*text);
    *text = strdup(with);
}

static int one_op(void *context, const struct state *state, struct op_list *ops, struct err *err)
{
    *ops = (struct op_list){context, 1};
    return 0;
}

void node_fixture_append(struct node_fixture *fixture, const struct op *op)
{
    struct err err = {0};
    struct op copy = *op;
    must(manifest_append(fixture->manifest, "test", one_op, &copy, NULL, &err), &err, "append");
}

uint64_t node_fixture_publish(struct node_fixture *fixture, const char *table,
                              const struct build *build)
{
    uint64_t id = next_id(fixture, table);
    struct op op = {.kind = OP_PUBLISH, .version = id, .base = build->base};
    struct version_desc desc = {.schema = build_schema(build)};
    struct buf json = {0};
    struct err err = {0};
    char path[STORE_PATH_MAX + 16];
    snprintf(path, sizeof path, "tables/%s/v/%llu/parts", table, (unsigned long long)id);
    must(store_mkdir(fixture->store, path, &err), &err, "mkdir");
    if (build->base)
        take_base(fixture, table, id, build->base, &desc);
    desc.version = id;
    desc.base = build->base;
    add_level(fixture, table, id, build, &desc);
    desc.n_keys = build->base ? desc.n_keys : build->n_keys;
    replace_text(&desc.task, "task");
    replace_text(&desc.builder, "test");
    replace_text(&desc.author, "me@here");
    replace_text(&desc.created, "2026-01-02T03:04:05Z");
    replace_text(&desc.source, "nowhere");
    must(version_desc_encode(&desc, &json, &err), &err, "version.json");
    snprintf(path, sizeof path, "tables/%s/v/%llu/version.json", table, (unsigned long long)id);
    must(store_put_new(fixture->store, path, json.data, json.len, &err), &err, "put");
    snprintf(op.table, sizeof op.table, "%s", table);
    op.n_keys = desc.n_keys;
    op.len = version_desc_len(&desc);
    digest_of(json.data, json.len, &op.digest);
    node_fixture_append(fixture, &op);
    buf_release(&json);
    version_desc_release(&desc);
    return id;
}

void node_fixture_activate(struct node_fixture *fixture, const char *table, uint64_t version,
                           int64_t effective_ns)
{
    struct op op = {.kind = OP_ACTIVATE, .version = version, .effective_ns = effective_ns};
    snprintf(op.table, sizeof op.table, "%s", table);
    node_fixture_append(fixture, &op);
}

void node_fixture_rollback(struct node_fixture *fixture, const char *table, uint64_t from,
                           uint64_t to)
{
    struct op op = {.kind = OP_ROLLBACK, .version = to, .from = from};
    snprintf(op.table, sizeof op.table, "%s", table);
    node_fixture_append(fixture, &op);
}

uint64_t node_fixture_release_version(struct node_fixture *fixture, const char *table, uint32_t tag,
                                      uint64_t n_keys)
{
    struct build build = {.tag = tag, .n_keys = n_keys};
    uint64_t id = node_fixture_publish(fixture, table, &build);
    node_fixture_activate(fixture, table, id, 0);
    return id;
}

void node_fixture_part_path(struct node_fixture *fixture, const char *table, uint64_t version,
                            size_t i, char out[NODE_FIXTURE_PATH_MAX])
{
    char path[STORE_PATH_MAX + 16];
    char name[PART_FILE_NAME_MAX];
    struct version_desc desc = {0};
    struct buf json = {0};
    struct err err = {0};
    snprintf(path, sizeof path, "tables/%s/v/%llu/version.json", table,
             (unsigned long long)version);
    must(store_get(fixture->store, path, VERSION_JSON_MAX, &json, &err), &err, "version.json");
    must(version_desc_decode(json.data, json.len, path, &desc, &err), &err, "version.json");
    FIXTURE_MUST(i < desc.n_parts);
    part_file_name(&desc.parts[i], name);
    snprintf(out, NODE_FIXTURE_PATH_MAX, "%s/tables/%s/v/%llu/parts/%s", fixture->store_dir, table,
             (unsigned long long)version, name);
    version_desc_release(&desc);
    buf_release(&json);
}

void node_fixture_damage_at(const char *path, uint64_t off)
{
    uint8_t byte = 0;
    FIXTURE_MUST(chmod(path, 0600) == 0);
    int fd = open(path, O_RDWR);
    FIXTURE_MUST(fd >= 0 && pread(fd, &byte, 1, (off_t)off) == 1);
    byte ^= 0x40;
    FIXTURE_MUST(pwrite(fd, &byte, 1, (off_t)off) == 1);
    FIXTURE_MUST(fsync(fd) == 0); /* direct reads see it */
    close(fd);
}

void node_fixture_damage(const char *path, uint32_t chunk)
{
    node_fixture_damage_at(path, (uint64_t)chunk * PART_CHUNK_LEN + 100);
}

static void note_event(void *context, enum node_event_kind kind, struct table *table,
                       uint64_t version, const char *text)
{
    struct node_fixture *fixture = context;
    scope_lock(&fixture->lock);
    size_t len = strlen(fixture->warnings);
    switch (kind) {
    case NODE_EVENT_TABLE:
        __atomic_fetch_add(&fixture->n_tables, 1, __ATOMIC_RELAXED);
        break;
    case NODE_EVENT_SWITCHED:
        __atomic_fetch_add(&fixture->n_switched, 1, __ATOMIC_RELAXED);
        break;
    case NODE_EVENT_VERSION:
        __atomic_fetch_add(&fixture->n_listed, 1, __ATOMIC_RELAXED);
        break;
    case NODE_EVENT_NOTICE:
        break;
    case NODE_EVENT_WARNING:
        snprintf(fixture->warnings + len, sizeof fixture->warnings - len, "%s\n", text);
        break;
    }
}

int node_fixture_open(struct node_fixture *fixture, const char *cache, uint64_t budget,
                      struct node **out, struct err *err)
{
    char cache_dir[NODE_FIXTURE_PATH_MAX];
    snprintf(cache_dir, sizeof cache_dir, "%s/%s", fixture->dir, cache);
    struct node_config config = {
        .store_url = fixture->store_dir,
        .cache_dir = cache_dir,
        .name = "n1",
        .block_cache = fixture->block_cache,
        .memory_budget = budget ? budget : 1ULL << 30,
        .keep_cached = 3,
        .cache_limit = fixture->cache_limit,
        .poll_ns = NODE_FIXTURE_POLL_NS,
    };
    return node_open(&config, note_event, fixture, out, err);
}

void node_fixture_settle(struct node *node)
{
    for (int round = 0; round < 4; round++) {
        int64_t wait_ns = 0;
        struct err err = {0};
        must(node_follow(node, &wait_ns, &err), &err, "node_follow");
        for (int n = 0; node_work(node); n++)
            FIXTURE_MUST(n < 1000);
    }
}

/* A block of a part, read and verified; free() it. NULL: bad, told to node. */
static uint8_t *read_block(const struct disk_table *table, struct disk_part *part,
                           struct block_place place, struct block *block)
{
    const struct paged_info *info = disk_part_info(part);
    size_t len = (size_t)place.n_pages * BLOCK_PAGE;
    uint8_t *memory = aligned_alloc(BLOCK_PAGE, len);
    FIXTURE_MUST(memory);
    ssize_t n = pread(part->file.fd, memory, len, (off_t)place.page * BLOCK_PAGE);
    if (n == (ssize_t)len &&
        !block_open(memory, len, &info->shape, info->salt, place.page, block, NULL))
        return memory;
    disk_part_report(table, part, place.page, n == (ssize_t)len);
    free(memory);
    return NULL;
}

/* The tag in a value as it is stored. */
static int64_t stored_tag(const struct disk_part *part, const struct probe_value *value,
                          uint64_t key)
{
    uint8_t raw[4096];
    const uint8_t *data = value->data;
    if (disk_part_info(part)->compression) {
        struct zstd_decoder *decoder = zstd_decoder_new();
        uint64_t len = 0;
        FIXTURE_MUST(decoder && zstd_value_len(value->data, value->len, &len) == 0 &&
                     len <= sizeof raw);
        FIXTURE_MUST(
            zstd_value_decode(decoder, part->dictionary, value->data, value->len, raw, len) == 0);
        zstd_decoder_free(decoder);
        data = raw;
    }
    uint64_t word = load_le64(data);
    FIXTURE_MUST((uint32_t)word == key);
    return (int64_t)(word >> 32);
}

/* As query does, without any of its speed: 1 found, 0 not in this part, -2 bad. */
static int find_in_part(const struct disk_table *table, struct disk_part *part, uint64_t hash,
                        uint64_t key, int64_t *tag)
{
    struct idx_place place = {0};
    struct block block;
    struct probe_value value = {0};
    uint64_t rank = IDX_NONE;
    if (part->idx) {
        idx_find_u64(part->idx, &key, 1, &rank);
        if (rank == IDX_NONE)
            return 0;
        FIXTURE_MUST(idx_place(part->idx, rank, &place) == 0);
    } else {
        const struct blk *blks[1] = {part->blk};
        blk_locate(blks, 1, &hash, 1, &place.block);
        if (place.block.n_pages == 0)
            return 0;
    }
    uint8_t *memory = read_block(table, part, place.block, &block);
    if (!memory)
        return -2;
    bool is_found = part->idx != NULL;
    if (part->idx)
        FIXTURE_MUST(block_value(&block, place.entry, &value) == 0);
    else
        is_found = block_find(&block, hash, NULL, 0, &value) == PROBE_FOUND;
    if (is_found)
        *tag = stored_tag(part, &value, key);
    free(memory);
    return is_found;
}

static int64_t get_from_disk(const struct disk_table *table, uint64_t key)
{
    uint64_t hash = schema_hash_u64(&table->schema, key);
    uint32_t shard = schema_shard(&table->schema, hash);
    int64_t tag = 0;
    int found = 0;
    for (uint32_t level = table->n_levels; level-- > 0 && !found;)
        found = find_in_part(table, table->parts[level * table->schema.n_shards + shard], hash, key,
                             &tag);
    return found < 0 ? found : tag;
}

int64_t node_fixture_get_of(const struct version *version, uint64_t key)
{
    const uint8_t *value = NULL;
    uint32_t len = 0;
    if (!version || !version_is_loaded(version))
        return -1;
    if (version_disk(version))
        return get_from_disk(version_disk(version), key);
    if (mem_table_find_u64(version_mem(version), key, &value, &len) != 1)
        return 0;
    uint64_t word = load_le64(value);
    FIXTURE_MUST((uint32_t)word == key);
    return (int64_t)(word >> 32);
}

int64_t node_fixture_get(struct node *node, const char *table_name, uint64_t key)
{
    struct table *table = node_table_find(node, table_name);
    if (!table)
        return -1;
    struct version *version = table_pin_current(table);
    int64_t tag = node_fixture_get_of(version, key);
    version_unpin(version);
    return tag;
}

void node_fixture_hide_store(struct node_fixture *fixture)
{
    char hidden[TEMP_DIR_MAX + 32];
    snprintf(hidden, sizeof hidden, "%s.away", fixture->store_dir);
    must(rename(fixture->store_dir, hidden), NULL, "rename");
}

void node_fixture_show_store(struct node_fixture *fixture)
{
    char hidden[TEMP_DIR_MAX + 32];
    snprintf(hidden, sizeof hidden, "%s.away", fixture->store_dir);
    must(rename(hidden, fixture->store_dir), NULL, "rename");
}

bool node_fixture_heard(struct node_fixture *fixture, const char *table, uint64_t version,
                        enum node_version_state *state, char reason[1024])
{
    struct heartbeat_list list = {0};
    struct err err = {0};
    bool is_found = false;
    must(heartbeat_list_read(fixture->store, &list, &err), &err, "heartbeats");
    for (size_t i = 0; i < list.n_nodes && !is_found; i++) {
        const struct node_table *on_node = heartbeat_find_table(&list.nodes[i], table);
        const struct node_version *found =
            on_node ? node_table_find_version(on_node, version) : NULL;
        if (!found)
            continue;
        is_found = true;
        *state = found->state;
        snprintf(reason, 1024, "%s", found->reason ? found->reason : "");
    }
    heartbeat_list_release(&list);
    return is_found;
}
