/* SPDX-License-Identifier: Apache-2.0 */
/* Takes one of the small valid problems of an operation and lets the fuzzer's bytes change it:
 * extents, strides, types, ranks, scalars, flags, descriptors, contents of index tensors, shapes
 * between plan and run. Every tensor lies in its own heap block of exactly its size, so that
 * AddressSanitizer sees any access outside. A call may be refused; it must never crash, leak, or
 * read too far. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_problem.h"

enum { MAX_PROBLEMS = 64, MAX_BYTES = 1 << 22 };
static const tenon_api *api;
static tenon_context *context;
static char *problems[MAX_PROBLEMS];
static int n_problems;

typedef struct input {
    const uint8_t *data;
    size_t left;
} input;

static uint64_t take(input *in, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes && in->left; i++, in->left--) value = value << 8 | *in->data++;
    return value;
}

static void load_problems(void) {
    char path[600], line[4096];
    snprintf(path, sizeof path, "%s/test_%s", TENON_PROBLEM_FOLDER, FUZZ_OP);
    FILE *file = fopen(path, "r");
    if (!file) { /* an operation without an output that a reference could be compared with */
        snprintf(path, sizeof path, "%s/fuzz_%s", TENON_PROBLEM_FOLDER, FUZZ_OP);
        file = fopen(path, "r");
    }
    while (file && fgets(line, sizeof line, file) && n_problems < MAX_PROBLEMS) {
        line[strcspn(line, "\n")] = 0;
        if (line[0] && line[0] != '#') problems[n_problems++] = strdup(line);
    }
    if (file) fclose(file);
    if (!n_problems) {
        fprintf(stderr, "no problems in %s\n", path);
        abort();
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    uint32_t version = TENON_VERSION;
    tenon_context_options options = {
        .struct_size = sizeof options, .log_level = -1, .n_threads = 1};
    if (tenon_get_api(NULL, &version, &api, NULL) || api->context_create(&options, &context, NULL))
        abort();
    load_problems();
    return 0;
}

/* A few extents keep their relation, or nothing would ever pass validation: the same old extent
 * becomes the same new one everywhere. */
static void scale_extent(bench_problem *p, int64_t from, int64_t to) {
    for (int32_t i = 0; i < p->n_tensors; i++) {
        bench_tensor *t = &p->tensor[i];
        int64_t step = 1;
        for (int32_t d = t->view.ndim - 1; d >= 0; d--) {
            if (t->shape[d] == from) t->shape[d] = to;
            t->strides[d] = step;
            step *= t->shape[d] > 0 ? t->shape[d] : 1;
        }
        free(t->contents); /* no longer of the right length */
        t->contents = NULL, t->n_contents = 0;
    }
}

/* Between plan and run memory stays as it is: extents shrink, strides do not move. */
static void shrink_extent(bench_problem *p, int64_t from, int64_t to) {
    for (int32_t i = 0; i < p->n_tensors; i++)
        for (int32_t d = 0; d < p->tensor[i].view.ndim; d++)
            if (p->tensor[i].shape[d] == from) p->tensor[i].shape[d] = to;
}

static void change_tensor(bench_problem *p, input *in) {
    bench_tensor *t = &p->tensor[take(in, 1) % (uint64_t)p->n_tensors];
    int32_t dim = t->view.ndim > 0 ? (int32_t)(take(in, 1) % (uint64_t)t->view.ndim) : 0;
    switch (take(in, 1) % 8) {
    case 0:
        t->shape[dim] = (int64_t)(take(in, 1) % 70);
        break;
    case 1:
        t->shape[dim] += (int64_t)(take(in, 1) % 5) - 2;
        break;
    case 2:
        t->strides[dim] = (int64_t)(int16_t)take(in, 2);
        break;
    case 3:
        t->view.dtype.code = (uint8_t)(take(in, 1) % 20),
        t->view.dtype.bits = (uint8_t)(4 << take(in, 1) % 5);
        break;
    case 4:
        t->view.ndim = (int32_t)(take(in, 1) % 9);
        break;
    case 5:
        t->view.strides = NULL;
        break;
    case 6:
        t->view.byte_offset = take(in, 1) % 9;
        break;
    default:
        scale_extent(p, t->shape[dim], (int64_t)(take(in, 1) % 40));
        break;
    }
}

static void change_scalar(bench_problem *p, input *in) {
    const tenon_op_info *list = p->info;
    char *object = (char *)p->args.bytes;
    if (p->n_quants && take(in, 1) % 2)
        list = api->quant_info(), object = (char *)&p->quant[take(in, 1) % (uint64_t)p->n_quants];
    const tenon_field_info *f = &list->fields[take(in, 1) % list->n_fields];
    if (strstr(f->kind, "in") == f->kind || strstr(f->kind, "out") ||
        !strncmp(f->kind, "opt_", 4) || !strcmp(f->kind, "quant")) {
        if (object == (char *)p->args.bytes)
            memset(object + f->offset_bytes, 0, sizeof(void *)); /* leave the field out */
        return;
    }
    if (f->kind[0] == 'f') {
        const float values[] = {0, 1, -1, 0.5f, 30, 1e-20f, 1e30f, 7};
        memcpy(object + f->offset_bytes, &values[take(in, 1) % 8], 4);
    } else {
        int64_t value =
            take(in, 1) % 4 ? (int64_t)(take(in, 1) % 24) - 2 : (int64_t)(int32_t)take(in, 4);
        memcpy(object + f->offset_bytes, &value, f->size_bytes);
    }
}

/* Blocks without margins: ASan's own stand closer. */
static bool allocate(bench_problem *p) {
    for (int32_t i = 0; i < p->n_tensors; i++) {
        bench_tensor *t = &p->tensor[i];
        int64_t last = 0, bits = (int64_t)t->view.dtype.bits * t->view.dtype.lanes;
        for (int32_t d = 0; d < t->view.ndim && d < 8; d++) {
            if (t->shape[d] < 0 || t->strides[d] < 0) return false;
            last = t->shape[d] == 0 || last < 0 ? -1 : last + (t->shape[d] - 1) * t->strides[d];
        }
        if (t->view.strides == NULL) { /* compact */
            last = 1;
            for (int32_t d = 0; d < t->view.ndim; d++) last *= t->shape[d];
            last--;
        }
        int64_t bytes = last < 0 ? 0 : ((last + 1) * bits + 7) / 8 + (int64_t)t->view.byte_offset;
        if (bytes > MAX_BYTES) return false;
        t->bytes = (size_t)bytes;
        t->block = malloc(t->bytes ? t->bytes : 1);
        memset(t->block, 0, t->bytes);
        t->view.data = t->block;
    }
    return true;
}

static void fill(bench_problem *p, input *in) {
    uint64_t state = take(in, 4) | 1;
    for (int32_t i = 0; i < p->n_tensors; i++) {
        bench_tensor *t = &p->tensor[i];
        bool is_index = t->view.dtype.code == kDLInt && t->view.dtype.bits >= 32;
        size_t width = t->view.dtype.bits / 8u;
        for (size_t b = 0; b < t->bytes; b++) {
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            t->block[b] = is_index ? (b % width ? 0 : (uint8_t)(state % 11)) : (uint8_t)state;
        }
        for (int64_t k = 0; is_index && k < t->n_contents && (size_t)(k + 1) * width <= t->bytes;
             k++)
            memcpy(t->block + (size_t)k * width, &t->contents[k], width);
        for (int k = 0; is_index && t->bytes && k < 4 && in->left > 8 && take(in, 1) % 4 == 0;
             k++) {
            int64_t value =
                take(in, 1) % 3 ? (int64_t)(take(in, 1)) - 3 : (int64_t)(int32_t)take(in, 4);
            memcpy(t->block + take(in, 1) % (t->bytes / width) * width, &value, width);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    bench_problem *p = calloc(1, sizeof *p);
    tenon_error error = {.struct_size = sizeof error};
    tenon_query query = {.struct_size = sizeof query};
    tenon_plan *plan = NULL;
    if (!bench_parse(api, problems[take(&in, 1) % (uint64_t)n_problems], p)) abort();
    for (uint64_t n = take(&in, 1) % 6; n; n--) {
        if (take(&in, 1) % 2)
            change_tensor(p, &in);
        else
            change_scalar(p, &in);
    }
    if (take(&in, 1) % 16 == 0) p->args.head.flags = (uint32_t)take(&in, 1);
    if (allocate(p)) {
        fill(p, &in);
        api->query(context, p->info->op, p->args.bytes, NULL, &query, &error);
        if (!api->plan_create(context, p->info->op, p->args.bytes, NULL, &plan, &error)) {
            api->plan_query(plan, &query, &error);
            void *workspace = query.workspace_bytes && query.workspace_bytes < MAX_BYTES * 16
                                  ? aligned_alloc(64, (query.workspace_bytes + 63) / 64 * 64)
                                  : NULL;
            p->args.head.workspace = workspace,
            p->args.head.workspace_bytes = workspace ? query.workspace_bytes : 0;
            api->run(plan, p->args.bytes, &error);
            if (p->n_tensors && take(&in, 1) % 2) { /* something differs between plan and run */
                bench_tensor *t = &p->tensor[take(&in, 1) % (uint64_t)p->n_tensors];
                int32_t dim = t->view.ndim ? (int32_t)(take(&in, 1) % (uint64_t)t->view.ndim) : 0;
                if (take(&in, 1) % 2)
                    shrink_extent(p, t->shape[dim],
                                  t->shape[dim] ? (int64_t)(take(&in, 1) % (uint64_t)t->shape[dim])
                                                : 0);
                else if (t->shape[dim] > 0)
                    t->shape[dim]--;
                api->run(plan, p->args.bytes, &error);
            }
            free(workspace);
            api->plan_destroy(plan);
        } else if (query.status == TENON_STATUS_OK) {
            abort(); /* query promised what plan_create refuses */
        }
    }
    bench_free(p);
    free(p);
    return 0;
}
