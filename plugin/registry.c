/* SPDX-License-Identifier: Apache-2.0 */
#include "registry.h"

#include <string.h>

#include "foreign.h"

extern const tenon_backend tenon_cpu_backend;
#ifdef TENON_HAS_CUDA
extern const tenon_backend tenon_cuda_backend;
#endif
#ifdef TENON_HAS_ROCM
extern const tenon_backend tenon_rocm_backend;
#endif

static const tenon_backend *const backends[] = {
    &tenon_cpu_backend,
#ifdef TENON_HAS_CUDA
    &tenon_cuda_backend,
#endif
#ifdef TENON_HAS_ROCM
    &tenon_rocm_backend,
#endif
};

const tenon_backend *const *tenon_registry_backends(uint32_t *count) {
    *count = sizeof backends / sizeof backends[0];
    return backends;
}

bool tenon_name_matches(const char *pattern, const char *name) {
    for (; *pattern != '*'; pattern++, name++) {
        if (*pattern != *name) return false;
        if (!*pattern) return true;
    }
    while (*pattern == '*') pattern++;
    if (!*pattern) return true;
    for (; *name; name++)
        if (tenon_name_matches(pattern, name)) return true;
    return false;
}

static void add_reason(tenon_choice *choice, const char *name, const char *why) {
    size_t used = strlen(choice->reasons);
    if (used + 4 < sizeof choice->reasons)
        snprintf(choice->reasons + used, sizeof choice->reasons - used, "%s%s: %s",
                 used ? "; " : "", name, why);
}

/* Foreign kernels with priority >= 0 stand above the backend's rows, the others below. The list is
 * sorted. */
static bool choose_foreign(tenon_foreign *const *list, uint32_t n, const tenon_backend_slot *slot,
                           const tenon_problem *problem, const char *wanted, bool above,
                           tenon_choice *choice) {
    for (uint32_t i = 0; i < n; i++) {
        const tenon_foreign *f = list[i];
        tenon_reason reason;
        if (f->info.op != problem->op || (f->info.priority >= 0) != above ||
            (wanted && !tenon_name_matches(wanted, f->name)))
            continue;
        if (f->info.backend != TENON_BACKEND_AUTO && f->info.backend != slot->backend->id) continue;
        const char *why = tenon_foreign_why_not(f, problem, &reason);
        if (!why) {
            choice->foreign = f;
            return true;
        }
        add_reason(choice, f->name, why);
    }
    return false;
}

int32_t tenon_registry_choose(tenon_context *context, const tenon_backend_slot *slot,
                              const tenon_problem *problem, const char *wanted,
                              tenon_choice *choice) {
    uint32_t count, considered = 0;
    const tenon_kernel *const *rows = slot->backend->kernels(problem->op, &count);
    tenon_foreign *foreign[TENON_MAX_FOREIGN];
    uint32_t n_foreign = tenon_foreign_list(context, foreign);
    memset(choice, 0, sizeof *choice);
    if (choose_foreign(foreign, n_foreign, slot, problem, wanted, true, choice)) return TENON_OK;
    for (uint32_t i = 0; i < count; i++) {
        tenon_reason reason;
        if (wanted && !tenon_name_matches(wanted, rows[i]->name)) continue;
        considered++;
        const char *why = slot->backend->lacks(slot->state, rows[i], &reason);
        if (!why && rows[i]->why_not) why = rows[i]->why_not(problem, &reason);
        if (!why) {
            choice->kernel = rows[i];
            return TENON_OK;
        }
        add_reason(choice, rows[i]->name, why);
    }
    if (choose_foreign(foreign, n_foreign, slot, problem, wanted, false, choice)) return TENON_OK;
    if (!considered && !choice->reasons[0])
        snprintf(choice->reasons, sizeof choice->reasons,
                 wanted ? "no kernel of this operation has the name \"%s\""
                        : "backend %s has no kernel for it",
                 wanted ? wanted : slot->backend->name);
    return TENON_STATUS_UNSUPPORTED;
}

static void fill_kernel_info(tenon_backend_slot *slot, const tenon_kernel *kernel, int32_t rank,
                             tenon_kernel_info *info) {
    tenon_reason reason;
    info->op = kernel->op;
    info->backend = slot->backend->id;
    info->traits = kernel->traits;
    info->rank = rank;
    snprintf(info->name, sizeof info->name, "%s", kernel->name);
    snprintf(info->checked_on, sizeof info->checked_on, "%s",
             slot->backend->checked_on ? slot->backend->checked_on : kernel->checked_on);
    const char *why =
        slot->status ? slot->reason.text : slot->backend->lacks(slot->state, kernel, &reason);
    info->available = !why;
    snprintf(info->reason, sizeof info->reason, "%s", why ? why : "");
}

/* Foreign kernels come after the backends' rows; their rank is their place among the context's
 * foreign kernels. */
static bool foreign_info_at(tenon_context *context, uint32_t index, tenon_kernel_info *info,
                            uint32_t *n_foreign) {
    tenon_foreign *list[TENON_MAX_FOREIGN];
    *n_foreign = tenon_foreign_list(context, list);
    if (index >= *n_foreign) return false;
    const tenon_foreign *f = list[index];
    info->op = f->info.op;
    info->backend = f->info.backend;
    info->traits = f->row.traits;
    info->available = 1;
    info->rank = (int32_t)index;
    snprintf(info->name, sizeof info->name, "%s", f->name);
    snprintf(info->checked_on, sizeof info->checked_on, "%s", f->row.checked_on);
    return true;
}

int32_t tenon_kernel_info_at(tenon_context *context, uint32_t index, tenon_kernel_info *out,
                             tenon_error *error) {
    tenon_kernel_info info;
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    uint32_t seen = 0;
    for (uint32_t b = 0; b < context->n_backends; b++) {
        tenon_backend_slot *slot = tenon_context_backend(context, context->backends[b].backend->id);
        for (int32_t op = 0; op < TENON_OP_COUNT; op++) {
            uint32_t count;
            const tenon_kernel *const *rows = slot->backend->kernels(op, &count);
            if (index < seen + count) {
                fill_kernel_info(slot, rows[index - seen], (int32_t)(index - seen), &info);
                tenon_copy_out(out, &info, sizeof info);
                return TENON_OK;
            }
            seen += count;
        }
    }
    uint32_t n_foreign;
    if (foreign_info_at(context, index - seen, &info, &n_foreign)) {
        tenon_copy_out(out, &info, sizeof info);
        return TENON_OK;
    }
    return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1,
                      "kernel_info: index=%u, there are %u kernels", index, seen + n_foreign);
}

int32_t tenon_probe_at(tenon_context *context, uint32_t index, tenon_device_info *out,
                       tenon_error *error) {
    static const struct {
        int32_t id;
        const char *name;
    } known[] = {
        {TENON_BACKEND_CPU, "cpu"}, {TENON_BACKEND_CUDA, "cuda"}, {TENON_BACKEND_ROCM, "rocm"}};
    tenon_device_info info;
    uint32_t seen = 0;
    for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
        tenon_backend_slot *slot = tenon_context_backend(context, known[k].id);
        for (uint32_t device = 0;; device++) {
            memset(&info, 0, sizeof info);
            info.struct_size = sizeof info;
            info.backend = known[k].id;
            bool found =
                slot && !slot->status && slot->backend->device_info(slot->state, device, &info);
            if (!found) {
                if (device > 0) break;
                snprintf(info.name, sizeof info.name, "%s", known[k].name);
                snprintf(info.reason, sizeof info.reason, "%s",
                         !slot          ? "not built into this library"
                         : slot->status ? slot->reason.text
                                        : "no device");
            } else {
                info.available = 1;
            }
            if (seen++ == index) {
                tenon_copy_out(out, &info, sizeof info);
                return TENON_OK;
            }
            if (!found) break;
        }
    }
    return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1,
                      "probe: index=%u, there are %u entries", index, seen);
}
