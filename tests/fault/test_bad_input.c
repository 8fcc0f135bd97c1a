/* SPDX-License-Identifier: Apache-2.0 */
/* Every field of every operation made wrong, one at a time, in plan and in run: a clear error that
 * names the operation, a plan pointer that stays untouched, no byte of an output written. Contents
 * of index tensors are made hostile too: there the result is defined by the fault slot, and nothing
 * is written outside. */
#include <dirent.h>

#include "bench_problem.h"
#include "mutations.h"
#include "test_host.h"

static const tenon_api *api;
static tenon_context *context;
static char where[400];

/* The outputs as they were before a call that must fail. */
static unsigned char *snapshot(const bench_problem *p) {
    size_t total = 0, at = 0;
    for (int32_t i = 0; i < p->n_tensors; i++) total += p->tensor[i].bytes;
    unsigned char *copy = malloc(total + 1);
    for (int32_t i = 0; i < p->n_tensors; i++)
        memcpy(copy + at, bench_data(&p->tensor[i]), p->tensor[i].bytes), at += p->tensor[i].bytes;
    return copy;
}

static bool unchanged(const bench_problem *p, const unsigned char *copy) {
    size_t at = 0;
    for (int32_t i = 0; i < p->n_tensors; i++) {
        if (memcmp(copy + at, bench_data(&p->tensor[i]), p->tensor[i].bytes)) return false;
        at += p->tensor[i].bytes;
    }
    return true;
}

static void check_text(const bench_problem *p, int32_t status, const tenon_error *error) {
    CHECK(status == TENON_STATUS_INVALID_ARGUMENT || status == TENON_STATUS_UNSUPPORTED ||
              status == TENON_STATUS_WORKSPACE_TOO_SMALL || status == TENON_STATUS_CORRUPT,
          "%s: status %d: %s", where, status, error->text);
    CHECK(error->status == status &&
              (strstr(error->text, p->info->name) || strstr(error->text, "extension") ||
               strstr(error->text, "device")),
          "%s: the text is \"%s\"", where, error->text);
}

/* A plan that must not come about; must_fail false: it may, if the change was harmless. */
static void plan_refused(bench_problem *p, bool must_fail) {
    tenon_error error = {.struct_size = sizeof error};
    tenon_plan *untouched = (tenon_plan *)(uintptr_t)64, *plan = untouched;
    unsigned char *before = snapshot(p);
    int32_t status = api->plan_create(context, p->info->op, p->args.bytes, NULL, &plan, &error);
    if (must_fail) CHECK(status != TENON_OK, "%s: accepted by plan_create", where);
    if (status) {
        CHECK(plan == untouched, "%s: wrote the plan pointer", where);
        check_text(p, status, &error);
    } else {
        api->plan_destroy(plan);
    }
    CHECK(unchanged(p, before), "%s: plan_create wrote a tensor", where);
    free(before);
}

static void run_refused(bench_problem *p, const tenon_plan *plan, const void *args) {
    tenon_error error = {.struct_size = sizeof error};
    unsigned char *before = snapshot(p);
    int32_t status = api->run(plan, args, &error);
    CHECK(status != TENON_OK, "%s: accepted by run", where);
    if (status) check_text(p, status, &error);
    CHECK(unchanged(p, before), "%s: run wrote a tensor", where);
    free(before);
}

/* Whether an extent of the tensor may be smaller in a run, or any shape is checked by the operation
 * itself. */
static bool is_any(const bench_tensor *t) {
    return !strcmp(t->info->types, "*");
}

static void mutate_tensor(bench_problem *p, bench_tensor *t, const tenon_plan *plan,
                          const mutation *m) {
    bench_tensor saved = *t;
    snprintf(where, sizeof where, "%s: %s%s%s with %s", p->info->name,
             p->info->fields[t->field].name, t->member >= 0 ? "." : "",
             t->member >= 0 ? t->info->name : "", m->name);
    if (m->apply(&t->view, t->shape, t->strides)) {
        /* A device that all tensors share is not wrong by itself; that is tested with the whole
         * problem. */
        bool alone = p->n_tensors == 1 && (m->apply == other_device || m->apply == other_device_id);
        bool certain = m->must_fail && !alone && !(m->apply == huge_extent && saved.shape[0] == 0);
        /* One number may come as a tensor of rank 0. */
        bool scalar_allowed =
            m->apply == rank_zero &&
            (is_any(&saved) ||
             (saved.member >= 0 && (!strcmp(saved.info->name, "global_scale") ||
                                    (!strcmp(saved.info->name, "scale") &&
                                     saved.view.ndim == 1 && saved.shape[0] == 1))));
        plan_refused(p, certain && !scalar_allowed);
        if (plan && m->for_run && m->apply != one_more) run_refused(p, plan, p->args.bytes);
    }
    *t = saved;
}

static void mutate_pointers(bench_problem *p, bench_tensor *t, const tenon_plan *plan) {
    const DLTensor **at =
        (const DLTensor **)(p->args.bytes + p->info->fields[t->field].offset_bytes);
    if (t->member < 0) {
        snprintf(where, sizeof where, "%s: %s NULL", p->info->name, t->info->name);
        *at = NULL;
        plan_refused(p, strncmp(t->info->kind, "opt_", 4) != 0);
        if (plan) run_refused(p, plan, p->args.bytes);
        *at = &t->view;
    }
    void *data = t->view.data;
    snprintf(where, sizeof where, "%s: %s without data", p->info->name, t->info->name);
    t->view.data = NULL;
    if (plan && t->bytes) run_refused(p, plan, p->args.bytes);
    t->view.data = data;
    /* Written over each other tensor. */
    for (int32_t i = 0; t->written && t->bytes && i < p->n_tensors; i++) {
        bench_tensor *o = &p->tensor[i];
        if (o == t || !o->bytes) continue;
        snprintf(where, sizeof where, "%s: %s over %s", p->info->name, t->info->name,
                 o->info->name);
        t->view.data = o->view.data;
        plan_refused(p, true);
        if (plan) run_refused(p, plan, p->args.bytes);
        t->view.data = data;
    }
}

static void mutate_scalars(bench_problem *p, const tenon_op_info *list, void *object,
                           const char *prefix, const tenon_plan *plan) {
    for (uint32_t i = 0; i < list->n_fields; i++) {
        const tenon_field_info *f = &list->fields[i];
        unsigned char saved[8];
        char *at = (char *)object + f->offset_bytes;
        memcpy(saved, at, f->size_bytes);
        snprintf(where, sizeof where, "%s: %s%s out of range", p->info->name, prefix, f->name);
        if (f->choices) {
            const int32_t wrong[] = {-1, (int32_t)f->n_choices, 9999, INT32_MIN};
            for (int k = 0; k < 4; k++) {
                memcpy(at, &wrong[k], 4);
                plan_refused(p, true);
                if (plan) run_refused(p, plan, p->args.bytes);
            }
        } else if (!strcmp(f->kind, "f32")) {
            const float wrong[] = {NAN, INFINITY, -INFINITY};
            for (int k = 0; k < 3; k++) {
                memcpy(at, &wrong[k], 4);
                plan_refused(p, true);
                if (plan) run_refused(p, plan, p->args.bytes);
            }
        } else if (!strcmp(f->kind, "i32") || !strcmp(f->kind, "i64")) {
            const int64_t wrong[] = {-2, INT32_MIN, INT32_MAX, 7};
            for (int k = 0; k < 4; k++) {
                memcpy(at, &wrong[k], f->size_bytes); /* little end first */
                bool reserved = !strncmp(f->name, "reserved", 8);
                plan_refused(p, reserved);
                if (plan && memcmp(at, saved, f->size_bytes)) run_refused(p, plan, p->args.bytes);
            }
        }
        memcpy(at, saved, f->size_bytes);
    }
}

static void mutate_head(bench_problem *p, const tenon_plan *plan) {
    unsigned char longer[sizeof p->args + 64];
    tenon_ext ext = {sizeof ext, TENON_EXT_MUST_UNDERSTAND | 77, NULL}, short_ext = {4, 77, NULL},
              loop = {sizeof loop, 78, NULL};
    uint32_t full = p->info->args_size_bytes;
    const uint32_t sizes[] = {0, 1, full - 8, full - 1, 100000, UINT32_MAX};
    for (int i = 0; i < 6; i++) {
        snprintf(where, sizeof where, "%s: struct_size=%u", p->info->name, sizes[i]);
        p->args.head.struct_size = sizes[i];
        plan_refused(p, true);
        if (plan) run_refused(p, plan, p->args.bytes);
        p->args.head.struct_size = full;
    }
    snprintf(where, sizeof where, "%s: a longer struct with garbage behind", p->info->name);
    memset(longer, 0, sizeof longer);
    memcpy(longer, p->args.bytes, full);
    uint32_t more = full + 16;
    memcpy(longer, &more, 4);
    longer[full + 9] = 1;
    if (plan) run_refused(p, plan, longer);
    longer[full + 9] = 0; /* a newer host that does not use what is new is welcome */
    if (plan) {
        tenon_error error = {.struct_size = sizeof error};
        CHECK(api->run(plan, longer, &error) == TENON_OK,
              "%s: a longer struct with a zero tail: %s", p->info->name, error.text);
    }
    snprintf(where, sizeof where, "%s: unknown flags", p->info->name);
    p->args.head.flags ^= 1u << 31;
    plan_refused(p, true);
    if (plan) run_refused(p, plan, p->args.bytes);
    p->args.head.flags ^= 1u << 31;
    loop.next = &loop;
    const tenon_ext *chains[] = {&ext, &short_ext, &loop};
    for (int i = 0; i < 3; i++) {
        snprintf(where, sizeof where, "%s: extension chain %d", p->info->name, i);
        p->args.head.ext = chains[i];
        plan_refused(p, true);
        if (plan) run_refused(p, plan, p->args.bytes);
        p->args.head.ext = NULL;
    }
    if (!plan) return;
    snprintf(where, sizeof where, "%s: a stream on the CPU", p->info->name);
    p->args.head.stream = where;
    run_refused(p, plan, p->args.bytes);
    p->args.head.stream = NULL;
    if (p->args.head.workspace_bytes) {
        void *workspace = p->args.head.workspace;
        snprintf(where, sizeof where, "%s: workspace NULL, short, misaligned", p->info->name);
        p->args.head.workspace = NULL;
        run_refused(p, plan, p->args.bytes);
        p->args.head.workspace = (char *)workspace + 4;
        run_refused(p, plan, p->args.bytes);
        p->args.head.workspace = workspace;
        p->args.head.workspace_bytes--;
        run_refused(p, plan, p->args.bytes);
        p->args.head.workspace_bytes++;
    }
}

/* Index tensors with contents that a buggy or hostile host might leave there. */
static void hostile_contents(bench_problem *p, const tenon_plan *plan) {
    static const int64_t poison[] = {-1,      -2,   INT32_MIN, INT32_MAX,
                                     1 << 20, 1000, INT64_MIN, INT64_MAX};
    for (int32_t i = 0; i < p->n_tensors; i++) {
        bench_tensor *t = &p->tensor[i];
        if (t->written || t->view.dtype.code != kDLInt || t->view.dtype.bits < 32 || !t->bytes)
            continue;
        for (int round = 0; round < 40; round++) {
            tenon_error error = {.struct_size = sizeof error};
            bench_fill(p, 7);
            int64_t n = (int64_t)(t->bytes * 8 / t->view.dtype.bits);
            for (int k = 0; k < 1 + round / 10; k++) {
                int64_t at = (int64_t)(test_random() % (uint64_t)n),
                        value = round < 8 ? poison[round] : (int64_t)(test_random() % 64) - 8;
                if (t->view.dtype.bits == 64)
                    ((int64_t *)bench_data(t))[at] = value;
                else
                    ((int32_t *)bench_data(t))[at] = (int32_t)value;
            }
            int32_t status = api->run(plan, p->args.bytes, &error);
            const char *margin = bench_broken_margin(p);
            CHECK(status == TENON_OK || status == TENON_STATUS_INVALID_ARGUMENT,
                  "%s: hostile %s: status %d: %s", p->info->name, t->info->name, status,
                  error.text);
            CHECK(!margin, "%s: hostile %s: wrote outside of %s", p->info->name, t->info->name,
                  margin);
            CHECK(p->fault.code >= TENON_FAULT_NONE && p->fault.code < TENON_FAULT_COUNT,
                  "%s: fault code %d", p->info->name, p->fault.code);
        }
    }
    bench_fill(p, 7);
}

static void one_problem(const char *text) {
    bench_problem *p = calloc(1, sizeof *p);
    tenon_error error = {.struct_size = sizeof error};
    tenon_plan *plan = NULL;
    CHECK(bench_parse(api, text, p) && bench_allocate(p), "%s: %s", text, p->message);
    bench_fill(p, 7);
    int32_t status = api->plan_create(context, p->info->op, p->args.bytes, NULL, &plan, &error);
    CHECK(status == TENON_OK, "%s: %s", text, error.text);
    if (status) plan = NULL;
    void *workspace = NULL;
    if (plan) {
        tenon_query query = {.struct_size = sizeof query};
        api->plan_query(plan, &query, &error);
        if (query.workspace_bytes)
            workspace = aligned_alloc(64, (query.workspace_bytes + 63) / 64 * 64);
        p->args.head.workspace = workspace, p->args.head.workspace_bytes = query.workspace_bytes;
        CHECK(api->run(plan, p->args.bytes, &error) == TENON_OK, "%s: %s", text, error.text);
    }
    for (int32_t i = 0; i < p->n_tensors; i++) {
        for (int m = 0; m < N_MUTATIONS; m++) mutate_tensor(p, &p->tensor[i], plan, &mutations[m]);
        mutate_pointers(p, &p->tensor[i], plan);
    }
    mutate_scalars(p, p->info, p->args.bytes, "", plan);
    for (int32_t q = 0; q < p->n_quants; q++) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "%s.", p->info->fields[p->quant_field[q]].name);
        mutate_scalars(p, api->quant_info(), &p->quant[q], prefix, plan);
        snprintf(where, sizeof where, "%s: %sstruct_size", p->info->name, prefix);
        p->quant[q].struct_size = 12;
        plan_refused(p, true);
        if (plan) run_refused(p, plan, p->args.bytes);
        p->quant[q].struct_size = sizeof p->quant[q];
        p->quant[q].flags ^= 1u << 30;
        plan_refused(p, true);
        if (plan) run_refused(p, plan, p->args.bytes);
        p->quant[q].flags ^= 1u << 30;
    }
    mutate_head(p, plan);
    if (plan) {
        hostile_contents(p, plan);
        CHECK(api->run(plan, p->args.bytes, &error) == TENON_OK, "%s: after all that: %s", text,
              error.text);
    }
    api->plan_destroy(plan);
    free(workspace);
    bench_free(p);
    free(p);
}

int main(void) {
    tenon_error error = {.struct_size = sizeof error};
    tenon_context_options options = {.struct_size = sizeof options, .log_level = -1};
    char line[4096], path[600];
    struct dirent *entry;
    DIR *folder = opendir(TENON_PROBLEM_FOLDER);
    api = test_load();
    CHECK(api->context_create(&options, &context, &error) == TENON_OK, "%s", error.text);
    CHECK(folder != NULL, "%s", TENON_PROBLEM_FOLDER);
    while (folder && (entry = readdir(folder))) {
        if (strncmp(entry->d_name, "test_", 5)) continue;
        snprintf(path, sizeof path, "%s/%s", TENON_PROBLEM_FOLDER, entry->d_name);
        FILE *file = fopen(path, "r");
        while (file && fgets(line, sizeof line, file)) {
            line[strcspn(line, "\n")] = 0;
            if (line[0] && line[0] != '#') one_problem(line);
        }
        if (file) fclose(file);
    }
    if (folder) closedir(folder);
    api->context_destroy(context);
    return test_report();
}
