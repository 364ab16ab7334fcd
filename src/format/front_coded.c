/* SPDX-License-Identifier: Apache-2.0 */
#include "format/front_coded.h"

#include <errno.h>

enum { CHUNK_GROUPS = FC_CHUNK / FC_GROUP, NIBBLE_MAX = 15, LANES = 32 };

static uint64_t n_chunks(uint64_t n)
{
    return n / FC_CHUNK + (n % FC_CHUNK > 0);
}

/* Groups in all chunks before, were each full, and in the last. */
static uint64_t n_groups(uint64_t n)
{
    return n / FC_GROUP + (n % FC_GROUP > 0);
}

/* memcmp() order, a prefix first. */
static int order(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    size_t common = a_len < b_len ? a_len : b_len;
    int order = memcmp(a, b, common);
    return order ? order : (int)a_len - (int)b_len;
}

int fc_open(uint64_t n, const uint8_t *places, uint64_t places_len, const uint8_t *bytes,
            uint64_t len, const char *name, struct front_coded *out, struct err *err)
{
    if (places_len / 8 != n_chunks(n) || places_len % 8)
        return err_set(err, -EBADMSG, "%s: expected places of %llu chunks, found %llu bytes", name,
                       (unsigned long long)n_chunks(n), (unsigned long long)places_len);
    for (uint64_t i = 0; i < n_chunks(n); i++) {
        uint64_t left = n_groups(n) - i * CHUNK_GROUPS;
        uint64_t need = 4 * (left < CHUNK_GROUPS ? left : CHUNK_GROUPS);
        if (!range_within(load_le64(places + 8 * i), need, len))
            return err_set(err, -EBADMSG, "%s: chunk %llu lies outside its section", name,
                           (unsigned long long)i);
    }
    *out = (struct front_coded){n, places, bytes, len};
    return 0;
}

/* Where a group begins: any number, checked when it is used. */
static uint64_t group_off(const struct front_coded *fc, uint64_t group)
{
    uint64_t chunk = load_le64(fc->places + group / CHUNK_GROUPS * 8);
    return chunk + load_le32(fc->bytes + chunk + 4 * (group % CHUNK_GROUPS));
}

/* ---- walking ---- */

int fc_seek(const struct front_coded *fc, uint64_t rank, struct fc_cursor *cursor)
{
    *cursor = (struct fc_cursor){.fc = fc, .next = rank < fc->n ? rank : fc->n};
    if (cursor->next == fc->n || rank % FC_GROUP == 0)
        return 0;
    cursor->next = rank / FC_GROUP * FC_GROUP;
    while (cursor->next < rank)
        if (fc_next(cursor) < 0)
            return -EBADMSG;
    return 0;
}

/* Reads the bytes of a key of which `shared` bytes are there already. */
static int key_read(struct fc_cursor *cursor, uint64_t off, uint32_t shared, uint32_t more)
{
    if (shared > cursor->key_len || shared + more < 1 || shared + more > KEY_BYTES_MAX ||
        !range_within(off, more, cursor->fc->len))
        return -EBADMSG;
    memcpy(cursor->key + shared, cursor->fc->bytes + off, more);
    cursor->key_len = (uint8_t)(shared + more);
    cursor->off = off + more;
    cursor->next++;
    return 1;
}

/* A count of up to 255 that had a nibble: 15 says that a byte with the rest follows. */
static int count_read(const struct front_coded *fc, uint64_t *off, uint32_t nibble, uint32_t *count)
{
    *count = nibble;
    if (nibble < NIBBLE_MAX)
        return 0;
    if (!range_within(*off, 1, fc->len))
        return -EBADMSG;
    *count += fc->bytes[(*off)++];
    return 0;
}

int fc_next(struct fc_cursor *cursor)
{
    const struct front_coded *fc = cursor->fc;
    uint64_t off = cursor->off;
    uint32_t shared = 0;
    uint32_t more = 0;
    if (cursor->next >= fc->n)
        return 0;
    if (cursor->next % FC_GROUP == 0)
        off = group_off(fc, cursor->next / FC_GROUP);
    if (!range_within(off, 1, fc->len))
        return -EBADMSG;
    uint32_t token = fc->bytes[off++];
    if (cursor->next % FC_GROUP == 0)
        return key_read(cursor, off, 0, token);
    if (count_read(fc, &off, token >> 4, &shared) || count_read(fc, &off, token & 15, &more))
        return -EBADMSG;
    return key_read(cursor, off, shared, more);
}

/* ---- searching ---- */

/* A search under way: of the groups low, low + step, … it halves those that are left. */
struct lane {
    uint64_t low;
    uint64_t found; /* groups, from low on, that begin with a key that is not above */
    uint64_t left;
    uint64_t group; /* the one looked at */
    uint64_t off;   /* its first key */
};

/* The order of the key at off, a group's first, and the wanted one; one that lies outside is
 * below all. */
static int first_order(const struct front_coded *fc, uint64_t off, const struct fc_search *search)
{
    size_t len = range_within(off, 1, fc->len) ? fc->bytes[off] : 0;
    if (len == 0 || !range_within(off + 1, len, fc->len))
        return -1;
    return order(fc->bytes + off + 1, len, search->key, search->len);
}

static bool lane_aim(struct lane *lane, const struct front_coded *fc, uint64_t step)
{
    if (lane->left == 0)
        return false;
    lane->group = lane->low + (lane->found + (lane->left + 1) / 2 - 1) * step;
    __builtin_prefetch(fc->bytes + load_le64(fc->places + lane->group / CHUNK_GROUPS * 8) +
                       4 * (lane->group % CHUNK_GROUPS));
    return true;
}

/* Halves for all lanes in step, asking for memory one pass before it is looked at. */
static void lanes_halve(struct lane *lanes, uint32_t n, const struct front_coded *fc,
                        const struct fc_search *searches, uint64_t step)
{
    for (;;) {
        bool is_any = false;
        for (uint32_t i = 0; i < n; i++)
            is_any |= lane_aim(&lanes[i], fc, step);
        if (!is_any)
            return;
        for (uint32_t i = 0; i < n; i++) {
            lanes[i].off = lanes[i].left ? group_off(fc, lanes[i].group) : 0;
            __builtin_prefetch(fc->bytes + (lanes[i].off < fc->len ? lanes[i].off : 0));
        }
        for (uint32_t i = 0; i < n; i++) {
            uint64_t half = (lanes[i].left + 1) / 2;
            if (half && first_order(fc, lanes[i].off, &searches[i]) <= 0)
                lanes[i].found += half;
            lanes[i].left -= half;
        }
    }
}

/* From the chunks to the groups of the last one that does not begin above. */
static void lane_enter(struct lane *lane, const struct front_coded *fc)
{
    if (lane->found == 0)
        return; /* below all keys: nothing is left to halve */
    uint64_t first = (lane->found - 1) * CHUNK_GROUPS;
    uint64_t n = n_groups(fc->n) - first;
    *lane = (struct lane){.low = first, .left = n < CHUNK_GROUPS ? n : CHUNK_GROUPS};
}

/* Decodes a group up to the first key that is not below. */
static int group_search(const struct front_coded *fc, uint64_t group, struct fc_search *search)
{
    struct fc_cursor cursor;
    uint64_t end = (group + 1) * FC_GROUP;
    end = end < fc->n ? end : fc->n;
    fc_seek(fc, group * FC_GROUP, &cursor);
    while (cursor.next < end) {
        search->rank = cursor.next;
        if (fc_next(&cursor) < 0)
            return -EBADMSG;
        int is = order(cursor.key, cursor.key_len, search->key, search->len);
        search->is_equal = is == 0;
        if (is >= 0)
            return 0;
    }
    search->rank = end;
    return 0;
}

static void group_of_searches(const struct front_coded *fc, struct fc_search *searches, uint32_t n)
{
    struct lane lanes[LANES] = {0};
    for (uint32_t i = 0; i < n; i++)
        lanes[i].left = n_chunks(fc->n);
    lanes_halve(lanes, n, fc, searches, CHUNK_GROUPS);
    for (uint32_t i = 0; i < n; i++)
        lane_enter(&lanes[i], fc);
    lanes_halve(lanes, n, fc, searches, 1);
    for (uint32_t i = 0; i < n; i++) {
        struct fc_search *search = &searches[i];
        search->rank = 0;
        search->is_equal = false;
        search->ret = 0;
        if (lanes[i].found)
            search->ret = group_search(fc, lanes[i].low + lanes[i].found - 1, search);
    }
}

void fc_search(const struct front_coded *fc, struct fc_search *searches, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += LANES)
        group_of_searches(fc, searches + i, n - i < LANES ? n - i : LANES);
}

int fc_lower_bound(const struct front_coded *fc, const void *key, size_t len, uint64_t *rank,
                   bool *is_equal)
{
    struct fc_search search = {.key = key, .len = (uint32_t)len};
    fc_search(fc, &search, 1);
    if (search.ret)
        return search.ret;
    *rank = search.rank;
    *is_equal = search.is_equal;
    return 0;
}

/* ---- building ---- */

void fc_builder_release(struct fc_builder *builder)
{
    buf_release(&builder->places);
    buf_release(&builder->bytes);
    buf_release(&builder->groups);
    buf_release(&builder->keys);
}

/* Writes the chunk that is under way: its groups' offsets, from its own begin, then the groups. */
static int chunk_finish(struct fc_builder *builder)
{
    uint32_t head_len = (uint32_t)builder->groups.len;
    le64 off;
    for (size_t i = 0; i < builder->groups.len; i += 4)
        store_le32(builder->groups.data + i, load_le32(builder->groups.data + i) + head_len);
    store_le64(&off, builder->bytes.len);
    int ret = buf_add(&builder->places, &off, sizeof off);
    if (!ret)
        ret = buf_add(&builder->bytes, builder->groups.data, builder->groups.len);
    if (!ret)
        ret = buf_add(&builder->bytes, builder->keys.data, builder->keys.len);
    buf_clear(&builder->groups);
    buf_clear(&builder->keys);
    return ret;
}

/* A key that others are measured by: where it stands, its length, all of it. */
static int whole_add(struct fc_builder *builder, const uint8_t *key, uint8_t len)
{
    le32 off;
    store_le32(&off, (uint32_t)builder->keys.len);
    int ret = buf_add(&builder->groups, &off, sizeof off);
    if (!ret)
        ret = buf_add_byte(&builder->keys, len);
    return ret ? ret : buf_add(&builder->keys, key, len);
}

static uint8_t nibble_of(uint8_t count)
{
    return count < NIBBLE_MAX ? count : NIBBLE_MAX;
}

static int rest_add(struct fc_builder *builder, const uint8_t *key, uint8_t len)
{
    uint8_t shared = 0;
    while (shared < len && shared < builder->last_len && key[shared] == builder->last[shared])
        shared++;
    uint8_t more = (uint8_t)(len - shared);
    uint8_t head[3] = {0};
    size_t n = 1;
    head[0] = (uint8_t)(nibble_of(shared) << 4 | nibble_of(more));
    if (shared >= NIBBLE_MAX)
        head[n++] = (uint8_t)(shared - NIBBLE_MAX);
    if (more >= NIBBLE_MAX)
        head[n++] = (uint8_t)(more - NIBBLE_MAX);
    int ret = buf_add(&builder->keys, head, n);
    return ret ? ret : buf_add(&builder->keys, key + shared, more);
}

int fc_builder_add(struct fc_builder *builder, const void *key, uint8_t len)
{
    int ret = 0;
    if (len == 0 || (builder->n && order(builder->last, builder->last_len, key, len) >= 0))
        return -EINVAL;
    if (builder->n && builder->n % FC_CHUNK == 0 && (ret = chunk_finish(builder)))
        return ret;
    ret = builder->n % FC_GROUP == 0 ? whole_add(builder, key, len) : rest_add(builder, key, len);
    if (ret)
        return ret;
    builder->n++;
    builder->last_len = len;
    memcpy(builder->last, key, len);
    return 0;
}

int fc_builder_finish(struct fc_builder *builder)
{
    return builder->groups.len ? chunk_finish(builder) : 0;
}
