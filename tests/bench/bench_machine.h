/* SPDX-License-Identifier: Apache-2.0 */
/* Where and when: what a number means nothing without. */
#ifndef TENON_BENCH_MACHINE_H
#define TENON_BENCH_MACHINE_H

#include <stdbool.h>
#include <stddef.h>

void bench_machine_date(char *text, size_t bytes); /* 2026-11-23 06:37 UTC */
void bench_machine_cpu(char *text, size_t bytes);
/* Those instruction sets that decide between kernels. */
void bench_machine_features(char *text, size_t bytes);

#endif /* TENON_BENCH_MACHINE_H */
