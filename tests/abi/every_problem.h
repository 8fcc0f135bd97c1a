/* SPDX-License-Identifier: Apache-2.0 */
/* The small problems of tests/bench/inputs, every operation among them, each with memory and
 * inputs, for tests that ask the same of all. */
#ifndef TENON_EVERY_PROBLEM_H
#define TENON_EVERY_PROBLEM_H

#include <dirent.h>

#include "bench_problem.h"
#include "test_host.h"

/* text: the problem string. */
typedef void (*problem_fn)(const char *text);

/* Calls fn for at most `most` problems of each input file. unpack_weights is not among them: its
 * input is a blob (unpack_problem). */
static inline void each_problem(int most, problem_fn fn) {
    struct dirent **entries;
    int n = scandir(TENON_PROBLEM_FOLDER, &entries, NULL, alphasort);
    CHECK(n > 0, "no problems in %s", TENON_PROBLEM_FOLDER);
    for (int i = 0; i < n; i++) {
        char path[600], line[2048];
        bool wanted = !strncmp(entries[i]->d_name, "test_", 5) ||
                      !strcmp(entries[i]->d_name, "fuzz_pack_weights");
        snprintf(path, sizeof path, "%s/%.200s", TENON_PROBLEM_FOLDER, entries[i]->d_name);
        free(entries[i]);
        FILE *file = wanted ? fopen(path, "r") : NULL;
        int taken = 0;
        while (file && taken < most && fgets(line, sizeof line, file)) {
            line[strcspn(line, "\r\n#")] = 0;
            if (!line[strspn(line, " \t")]) continue;
            fn(line);
            taken++;
        }
        if (file) fclose(file);
    }
    free(entries);
}

/* A problem with memory and inputs; the caller frees it with problem_free. */
static inline bench_problem *problem_make(const tenon_api *api, const char *text) {
    bench_problem *p = calloc(1, sizeof *p);
    bool made = p && bench_parse(api, text, p) && bench_allocate(p);
    CHECK(made, "%s: %s", text, p ? p->message : "no memory");
    if (!made) exit(1);
    bench_fill(p, 1);
    return p;
}

static inline void problem_free(bench_problem *p) {
    bench_free(p);
    free(p);
}

/* Plans it and gives it the workspace that it needs. NULL: no kernel takes it. */
static inline tenon_plan *problem_plan(const tenon_api *api, tenon_context *context,
                                       bench_problem *p, const char *kernel, tenon_error *error) {
    tenon_plan *plan = NULL;
    tenon_plan_options options = {.struct_size = sizeof options, .kernel = kernel};
    tenon_query query = {.struct_size = sizeof query};
    int32_t status = api->plan_create(context, p->info->op, p->args.bytes, &options, &plan, error);
    if (status) {
        CHECK(status == TENON_STATUS_UNSUPPORTED, "%s: %s", p->info->name, error->text);
        return NULL;
    }
    api->plan_query(plan, &query, error);
    p->args.head.workspace = query.workspace_bytes
                                 ? aligned_alloc(64, (size_t)(query.workspace_bytes + 63) / 64 * 64)
                                 : NULL;
    p->args.head.workspace_bytes = query.workspace_bytes;
    return plan;
}

static inline bool problem_same_bits(const bench_problem *a, const bench_problem *b) {
    for (int32_t i = 0; i < a->n_tensors; i++)
        if (memcmp(a->tensor[i].block, b->tensor[i].block, a->tensor[i].bytes + 2 * BENCH_MARGIN))
            return false;
    return true;
}

/* A blob that pack_weights made, and the args that bring it back. */
typedef struct unpack_problem {
    tenon_unpack_weights_args args;
    test_tensor t_blob, t_w;
    uint16_t w[40][64], back[40][64];
    _Alignas(64) unsigned char blob[1 << 16];
} unpack_problem;

static inline unpack_problem *unpack_problem_make(const tenon_api *api, tenon_context *context) {
    unpack_problem *u = aligned_alloc(64, sizeof *u);
    tenon_error error = {.struct_size = sizeof error};
    test_tensor source;
    if (!u) exit(1);
    memset(u, 0, sizeof *u);
    for (int i = 0; i < 40 * 64; i++) u->w[i / 64][i % 64] = (uint16_t)(0x3f80 + i);
    tenon_pack_weights_args pack = {.struct_size = sizeof pack,
                                    .w = test_view(&source, u->w, kDLBfloat, 16, SHAPE(40, 64))};
    u->args.struct_size = sizeof u->args;
    u->args.blob = pack.blob = test_view(&u->t_blob, u->blob, kDLUInt, 8, SHAPE(sizeof u->blob));
    u->args.w = test_view(&u->t_w, u->back, kDLBfloat, 16, SHAPE(40, 64));
    CHECK(!api->call(context, TENON_OP_PACK_WEIGHTS, &pack, &error), "%s", error.text);
    return u;
}

#endif /* TENON_EVERY_PROBLEM_H */
