/* SPDX-License-Identifier: Apache-2.0
 *
 * All tables, and the way from a mnemonic to its row.
 */
#include "amd_core.h"

#include <pthread.h>
#include <stdlib.h>

static const amd_opcode_table *const tables[] = {
    &amd_scalar_table,         &amd_scalar_memory_table,
    &amd_control_table,        &amd_vector_integer_table,
    &amd_vector_float_table,   &amd_vector_half_table,
    &amd_vector_double_table,  &amd_vector_packed_table,
    &amd_vector_convert_table, &amd_scaled_convert_table,
    &amd_vector_lane_table,    &amd_compare_table,
    &amd_matrix_table,         &amd_global_table,
    &amd_buffer_table,         &amd_lds_table,
    &amd_lds_exchange_table,
};

enum { MOST = 2048 };
static const amd_opcode *sorted[MOST];
static size_t sorted_count;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int by_name(const void *a, const void *b) {
    return strcmp((*(const amd_opcode *const *)a)->name, (*(const amd_opcode *const *)b)->name);
}

static void sort_tables(void) {
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (size_t i = 0; i < tables[t]->count && sorted_count < MOST; i++)
            sorted[sorted_count++] = &tables[t]->rows[i];
    qsort(sorted, sorted_count, sizeof *sorted, by_name);
}

const amd_opcode *amd_find_opcode(const char *name) {
    pthread_once(&once, sort_tables);
    amd_opcode wanted = {.name = name};
    const amd_opcode *key = &wanted;
    const amd_opcode *const *found = bsearch(&key, sorted, sorted_count, sizeof *sorted, by_name);
    return found ? *found : NULL;
}

size_t gpu_amd_instruction_count(void) {
    pthread_once(&once, sort_tables);
    return sorted_count;
}

const char *gpu_amd_instruction_name(size_t index) {
    pthread_once(&once, sort_tables);
    return index < sorted_count ? sorted[index]->name : NULL;
}
