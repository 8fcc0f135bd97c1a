/* SPDX-License-Identifier: Apache-2.0
 *
 * One workgroup: initial registers as the kernel descriptor asks, then its waves in turns whose
 * length and order the seed chooses, until all have ended.
 */
#define _POSIX_C_SOURCE 200809L
#include "amd_module.h"
#include "amd_pending.h"
#include "amd_race.h"

#include <stdarg.h>
#include <stdlib.h>

/* Rows and scalars beyond the last register, so that no operand of a damaged instruction reaches
 * outside. */
enum { SPARE_ROWS = 64 };
enum { POISON = 0xff };

void gpu_amd_poison(void *start, size_t bytes) {
    memset(start, POISON, bytes);
}

bool amd_worker_make(amd_worker *worker, const amd_launch_state *launch, uint32_t wave_count) {
    memset(worker, 0, sizeof *worker);
    amd_workgroup *group = &worker->group;
    uint32_t lds_bytes = launch->lds_bytes;
    group->launch = launch;
    group->wave_count = wave_count;
    group->lds_bytes = lds_bytes;
    size_t row_bytes = (size_t)wave_count * (AMD_VECTOR_ROWS + SPARE_ROWS) * sizeof(amd_row),
           words = amd_shadow_words(lds_bytes);
    worker->waves = calloc(wave_count, sizeof *worker->waves);
    worker->rows = aligned_alloc(64, row_bytes);
    worker->outstanding = malloc((size_t)wave_count * 3 * 64 * sizeof *worker->outstanding);
    worker->lds = malloc(lds_bytes + 16);
    group->shadow = calloc(words + 1, sizeof *group->shadow);
    group->filling = calloc(words / 64 + 1, sizeof *group->filling);
    group->patterns = calloc(2 * launch->program_count, sizeof *group->patterns);
    group->lds = worker->lds;
    return worker->waves && worker->rows && worker->outstanding && worker->lds && group->shadow &&
           group->filling && group->patterns;
}

void amd_worker_free(amd_worker *worker) {
    free(worker->waves);
    free(worker->rows);
    free(worker->outstanding);
    free(worker->lds);
    free(worker->group.shadow);
    free(worker->group.filling);
    free(worker->group.patterns);
}

void amd_stop(amd_wave *wave, gpu_amd_fault_kind kind, int lane, const char *format, ...) {
    gpu_amd_fault *fault = wave->group->fault;
    char what[384];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    memset(fault, 0, sizeof *fault);
    fault->kind = kind;
    memcpy(fault->workgroup, wave->group->id, sizeof fault->workgroup);
    fault->wave = wave->number;
    fault->lane = lane;
    fault->code_offset = wave->current ? wave->current->code_offset : 0;
    char where[24] = "";
    if (lane >= 0) snprintf(where, sizeof where, ", lane %d", lane);
    snprintf(fault->text, sizeof fault->text,
             "%.64s: workgroup (%u, %u, %u), wave %u%s, at 0x%llx \"%.160s\": %s",
             wave->group->launch->kernel->metadata.name, fault->workgroup[0], fault->workgroup[1],
             fault->workgroup[2], fault->wave, where, (unsigned long long)fault->code_offset,
             wave->current ? wave->current->text : "", what);
    longjmp(wave->group->escape, 1);
}

/* ---- the start of a wave ---- */

enum {
    USE_PRIVATE_BUFFER = 1,
    USE_DISPATCH = 2,
    USE_QUEUE = 4,
    USE_ARGUMENTS = 8,
    USE_DISPATCH_ID = 16,
    USE_FLAT_SCRATCH = 32,
    USE_PRIVATE_SIZE = 64
};

static void start_scalars(amd_wave *wave, const amd_descriptor *kernel,
                          const amd_launch_state *launch) {
    unsigned properties = kernel->properties, user = kernel->resources[1] >> 1 & 31;
    int at = 0;
    if (properties & USE_PRIVATE_BUFFER) at += 4;
    if (properties & USE_DISPATCH)
        amd_set64(wave, at, (uint64_t)(uintptr_t)launch->packet), at += 2;
    if (properties & USE_QUEUE) at += 2;
    if (properties & USE_ARGUMENTS)
        amd_set64(wave, at, (uint64_t)(uintptr_t)launch->arguments), at += 2;
    if (properties & USE_DISPATCH_ID) at += 2;
    if (properties & USE_FLAT_SCRATCH) at += 2;
    if (properties & USE_PRIVATE_SIZE) wave->scalar[at++] = 0;
    unsigned preload = kernel->preload & 127, from = kernel->preload >> 7;
    for (unsigned i = 0; i < preload && at < 16; i++)
        memcpy(&wave->scalar[at++], launch->arguments + 4 * (from + i), 4);
    at = (int)user;
    for (int axis = 0; axis < 3; axis++)
        if (kernel->resources[1] >> (7 + axis) & 1) wave->scalar[at++] = wave->group->id[axis];
    if (kernel->resources[1] >> 10 & 1) wave->scalar[at] = 0;
}

static void start_wave(amd_worker *worker, uint32_t number) {
    const amd_launch_state *launch = worker->group.launch;
    const amd_descriptor *kernel = &launch->kernel->descriptor;
    const uint32_t *block = launch->request->block;
    amd_wave *wave = &worker->waves[number];
    memset(wave, 0, sizeof *wave);
    memset(wave->scalar, POISON, sizeof wave->scalar);
    wave->vector = worker->rows + (size_t)number * (AMD_VECTOR_ROWS + SPARE_ROWS);
    memset(wave->vector, POISON, kernel->vgprs * sizeof(amd_row));
    memset(wave->vector + AMD_ACCUMULATORS, POISON, kernel->agprs * sizeof(amd_row));
    wave->group = &worker->group;
    wave->number = number;
    wave->target = launch->target;
    wave->pc = (uint32_t)launch->entry;
    wave->vector_limit = (uint16_t)kernel->vgprs;
    wave->accumulator_limit = (uint16_t)kernel->agprs;
    /* MODE: rounding and denormals of the descriptor, FP16_OVFL. */
    wave->mode = (kernel->resources[0] >> 12 & 255) | (kernel->resources[0] >> 26 & 1) << 23;
    wave->flush_f32 = (wave->mode >> 4 & 3) != 3;
    for (int queue = 0; queue < 3; queue++)
        wave->queue[queue].entry = worker->outstanding + ((size_t)number * 3 + (size_t)queue) * 64;
    start_scalars(wave, kernel, launch);
    uint32_t threads = block[0] * block[1] * block[2], first = number * AMD_LANES,
             left = threads - first;
    amd_set64(wave, AMD_EXEC, left >= AMD_LANES ? ~(uint64_t)0 : ((uint64_t)1 << left) - 1);
    AMD_EACH_LANE(lane) {
        uint32_t thread = first + (uint32_t)lane, x = thread % block[0],
                 y = thread / block[0] % block[1], z = thread / block[0] / block[1];
        wave->vector[0][lane] = thread < threads ? x | y << 10 | z << 20 : 0xffffffffu;
    }
}

/* ---- turns ---- */

static void check_registers(amd_wave *wave, const amd_instruction *inst) {
    if (inst->vector_top > wave->vector_limit)
        amd_stop(wave, GPU_AMD_REGISTER_RANGE, -1, "uses v%d, the kernel allocates %d",
                 inst->vector_top - 1, wave->vector_limit);
    amd_stop(wave, GPU_AMD_REGISTER_RANGE, -1, "uses a%d, the kernel allocates %d",
             inst->accumulator_top - 1, wave->accumulator_limit);
}

static void run_turn(amd_wave *wave, uint64_t length) {
    amd_workgroup *group = wave->group;
    const amd_instruction *program = group->launch->program;
    if (length > group->budget) length = group->budget;
    group->budget -= length;
    uint64_t left = length;
    while (left) {
        const amd_instruction *inst = wave->current = &program[wave->pc++];
        left--;
        if (inst->vector_top > wave->vector_limit ||
            inst->accumulator_top > wave->accumulator_limit)
            check_registers(wave, inst);
        if (wave->anything_pending) amd_check_pending(wave, inst);
        if (wave->index_mode && inst->opcode->unit == GPU_AMD_VECTOR &&
            strcmp(inst->opcode->name, "v_mov_b32") != 0)
            amd_stop(wave, GPU_AMD_UNKNOWN_INSTRUCTION, -1,
                     "only v_mov_b32 takes an index register");
        group->counters->instructions[inst->opcode->unit]++;
        inst->execute(wave, inst);
        if (wave->ended || wave->at_barrier) break;
    }
    group->budget += left;
}

/* All that have not ended wait: the barrier opens. */
static void open_barrier(amd_worker *worker) {
    worker->group.epoch++;
    for (uint32_t i = 0; i < worker->group.wave_count; i++) {
        worker->waves[i].at_barrier = false;
        if (!worker->waves[i].ended) amd_touch_again(&worker->waves[i]);
    }
}

void amd_run_workgroup(amd_worker *worker, const uint32_t id[3]) {
    amd_workgroup *group = &worker->group;
    uint32_t runnable[AMD_MAX_WAVES];
    memcpy(group->id, id, sizeof group->id);
    memset(group->lds, POISON, group->lds_bytes);
    if (group->filling_loads)
        memset(group->filling, 0, (amd_shadow_words(group->lds_bytes) / 64 + 1) * 8);
    group->filling_loads = 0;
    group->budget = group->launch->request->instruction_limit
                        ? group->launch->request->instruction_limit
                        : (uint64_t)1 << 32;
    for (uint32_t i = 0; i < group->wave_count; i++) start_wave(worker, i);
    group->epoch++;
    group->counters->workgroups++;
    group->counters->waves += group->wave_count;
    for (;;) {
        uint32_t count = 0, waiting = 0;
        for (uint32_t i = 0; i < group->wave_count; i++) {
            if (worker->waves[i].ended) continue;
            if (worker->waves[i].at_barrier)
                waiting++;
            else
                runnable[count++] = i;
        }
        if (!count && !waiting) return;
        if (!count) {
            open_barrier(worker);
            continue;
        }
        uint64_t random = amd_random(&group->random);
        amd_wave *wave = &worker->waves[runnable[random % count]];
        if (!group->budget)
            amd_stop(wave, GPU_AMD_HUNG, -1,
                     "the workgroup does not end within the instruction limit");
        /* Long turns keep registers in the cache; a short one now and then finds what depends on
         * timing. */
        uint64_t length =
            (random >> 32 & 7) == 0 ? 1 + (random >> 40 & 15) : 64 + (random >> 40 & 1023);
        run_turn(wave, length);
    }
}
