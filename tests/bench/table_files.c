/* SPDX-License-Identifier: Apache-2.0 */
#include "table_files.h"

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

static void read_desc(struct table_files *files, const char *dir)
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

static void read_part(struct table_files *files, const char *dir, size_t i)
{
    char path[4096];
    char name[PART_FILE_NAME_MAX];
    struct err err = {0};
    const struct part_desc *desc = &files->desc.parts[i];
    part_file_name(desc, name);
    snprintf(path, sizeof path, "%s/parts/%s", dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    BENCH_MUST(fd >= 0);
    must(load_file(fd, path, desc->len, PART_CHUNK_LEN, NULL, NULL, &files->memory[i], &err), &err);
    close(fd);
    must(part_open(files->memory[i].data, desc->len, name, &files->parts[i], &err), &err);
}

void table_files_open(struct table_files *files, const char *dir)
{
    struct err err = {0};
    *files = (struct table_files){0};
    read_desc(files, dir);
    files->memory = calloc(files->desc.n_parts, sizeof *files->memory);
    files->parts = calloc(files->desc.n_parts, sizeof(struct part *));
    BENCH_MUST(files->memory && files->parts);
    for (size_t i = 0; i < files->desc.n_parts; i++)
        read_part(files, dir, i);
    must(mem_table_new(&files->desc.schema, files->desc.n_levels,
                       (const struct part *const *)files->parts, &files->table, &err),
         &err);
}

void table_files_close(struct table_files *files)
{
    mem_table_free(files->table);
    for (size_t i = 0; i < files->desc.n_parts; i++) {
        part_free(files->parts[i]);
        memory_release(&files->memory[i]);
    }
    free(files->memory);
    free(files->parts);
    version_desc_release(&files->desc);
}
