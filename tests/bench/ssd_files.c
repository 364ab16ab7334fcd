/* SPDX-License-Identifier: Apache-2.0 */
#include "ssd_files.h"

#include "bench_util.h"

#include <fcntl.h>
#include <unistd.h>

static void must(int r, const struct err *err)
{
    if (!r)
        return;
    fprintf(stderr, "bench: %s\n", err_text(err, r));
    exit(1);
}

static void read_desc(struct ssd_files *files, const char *dir)
{
    char path[4096];
    static char text[VERSION_JSON_MAX];
    struct err err = {0};
    snprintf(path, sizeof path, "%s/version.json", dir);
    FILE *file = fopen(path, "r");
    BENCH_MUST(file);
    size_t len = fread(text, 1, sizeof text, file);
    fclose(file);
    must(version_desc_decode(text, len, path, &files->desc, &err), &err);
}

static void *read_from(int fd, uint64_t off, uint64_t len)
{
    uint8_t *data = huge_alloc(len);
    for (uint64_t done = 0; done < len;) {
        ssize_t n = pread(fd, data + done, len - done, (off_t)(off + done));
        BENCH_MUST(n > 0);
        done += (uint64_t)n;
    }
    return data;
}

static struct disk_part *open_part(const char *path, const struct part_desc *desc,
                                   enum table_kind kind, uint64_t serial)
{
    struct err err = {0};
    struct paged_info info;
    uint64_t off = 0;
    struct disk_part *part = calloc(1, sizeof *part);
    BENCH_MUST(part);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    BENCH_MUST(fd >= 0);
    void *footer = read_from(fd, desc->len - PART_FOOTER_LEN, PART_FOOTER_LEN);
    must(paged_tail(footer, desc->len, path, &off, &info, &err), &err);
    huge_free(footer, PART_FOOTER_LEN);
    void *tail = read_from(fd, off, desc->len - off);
    close(fd);
    if (kind == KIND_BLK)
        must(blk_open(tail, desc->len - off, desc->len, path, &part->blk, &err), &err);
    else
        must(idx_open(tail, desc->len - off, desc->len, path, &part->idx, &err), &err);
    must(reader_file_open(path, &part->file, &err), &err);
    part->serial = serial;
    return part;
}

void ssd_files_open(struct ssd_files *files, const char *dir)
{
    struct err err = {0};
    char path[4096];
    char name[PART_FILE_NAME_MAX];
    *files = (struct ssd_files){0};
    read_desc(files, dir);
    BENCH_MUST(files->desc.schema.kind != KIND_MEM);
    files->parts = calloc(files->desc.n_parts, sizeof *files->parts);
    BENCH_MUST(files->parts);
    for (size_t i = 0; i < files->desc.n_parts; i++) {
        part_file_name(&files->desc.parts[i], name);
        snprintf(path, sizeof path, "%s/parts/%s", dir, name);
        files->parts[i] = open_part(path, &files->desc.parts[i], files->desc.schema.kind, i + 1);
    }
    must(disk_table_new(&files->desc.schema, files->desc.n_levels, files->parts, &files->shared,
                        &files->table, &err),
         &err);
}

struct sums {
    uint64_t n_pages, n_blocks, index, filter, keys, places, records;
};

static void add_part(struct sums *sums, const struct disk_part *part)
{
    const struct paged_info *info = disk_part_info(part);
    sums->n_pages += info->n_pages;
    sums->n_blocks += info->n_blocks;
    sums->records += info->records_len;
    if (part->blk) {
        sums->index += blk_index_len(part->blk);
        sums->filter += blk_filter_len(part->blk);
    } else {
        sums->keys += idx_keys_len(part->idx);
        sums->places += idx_places_len(part->idx);
        sums->filter += idx_filter_len(part->idx);
    }
}

void ssd_files_print(const struct ssd_files *files)
{
    struct sums sums = {0};
    for (size_t i = 0; i < files->desc.n_parts; i++)
        add_part(&sums, files->parts[i]);
    printf("{\"keys\": %llu, \"parts\": %zu, \"bytes\": %llu, \"pages\": %llu, \"blocks\": %llu, "
           "\"records_len\": %llu, \"index_len\": %llu, \"filter_len\": %llu, \"keys_len\": %llu, "
           "\"places_len\": %llu}\n",
           (unsigned long long)files->desc.n_keys, files->desc.n_parts,
           (unsigned long long)version_desc_len(&files->desc), (unsigned long long)sums.n_pages,
           (unsigned long long)sums.n_blocks, (unsigned long long)sums.records,
           (unsigned long long)sums.index, (unsigned long long)sums.filter,
           (unsigned long long)sums.keys, (unsigned long long)sums.places);
}
