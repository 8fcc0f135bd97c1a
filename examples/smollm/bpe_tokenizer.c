/* SPDX-License-Identifier: Apache-2.0 */
/* Text to token ids.
 *
 * Within a word, the pair of neighbours with the lowest rank is joined, leftmost first, until no
 * pair has a merge. A heap of candidate pairs keeps that n log n: a prompt may be one long word. */
#include "bpe_tokenizer.h"

#include "bpe_vocabulary.h"
#include "word_split.h"

/* One piece of a word; pieces form a doubly linked list by index. */
typedef struct bpe_piece {
    int32_t token; /* -1 once it is joined to its left neighbour */
    int32_t left, right;
} bpe_piece;

/* A pair that can be joined. It is stale when either side has changed since. */
typedef struct bpe_candidate {
    int32_t rank, at; /* order: rank, then position */
    int32_t left_token, right_token, merged;
} bpe_candidate;

typedef struct bpe_scratch {
    bpe_piece *pieces;
    bpe_candidate *heap;
    size_t heap_count, capacity;
} bpe_scratch;

static bool comes_before(const bpe_candidate *a, const bpe_candidate *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_push(bpe_scratch *scratch, bpe_candidate candidate) {
    size_t at = scratch->heap_count++;
    while (at > 0 && comes_before(&candidate, &scratch->heap[(at - 1) / 2])) {
        scratch->heap[at] = scratch->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    scratch->heap[at] = candidate;
}

static bpe_candidate heap_pop(bpe_scratch *scratch) {
    const bpe_candidate top = scratch->heap[0];
    const bpe_candidate last = scratch->heap[--scratch->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= scratch->heap_count) break;
        if (child + 1 < scratch->heap_count &&
            comes_before(&scratch->heap[child + 1], &scratch->heap[child])) {
            child++;
        }
        if (!comes_before(&scratch->heap[child], &last)) break;
        scratch->heap[at] = scratch->heap[child];
        at = child;
    }
    scratch->heap[at] = last;
    return top;
}

static void consider_pair(const bpe_tokenizer *tokenizer, bpe_scratch *scratch, int32_t at) {
    if (at < 0 || scratch->pieces[at].right < 0) return;
    const int32_t left = scratch->pieces[at].token;
    const int32_t right = scratch->pieces[scratch->pieces[at].right].token;
    const merge_slot *merge = merge_table_find(&tokenizer->merges, left, right);
    if (merge) {
        heap_push(scratch, (bpe_candidate){merge->rank, at, left, right, merge->merged});
    }
}

/* Each of the n - 1 first pairs and at most two per join: 3 n candidates are enough. */
static bool reserve(bpe_scratch *scratch, size_t count) {
    if (count <= scratch->capacity) return true;
    const size_t capacity = count < 64 ? 64 : count * 2;
    if (capacity > INT32_MAX) return false;
    free(scratch->pieces);
    free(scratch->heap);
    *scratch = (bpe_scratch){.pieces = malloc(capacity * sizeof *scratch->pieces),
                             .heap = malloc(3 * capacity * sizeof *scratch->heap)};
    if (!scratch->pieces || !scratch->heap) return false;
    scratch->capacity = capacity;
    return true;
}

static bool append(token_list *list, int32_t id) {
    if (list->count == list->capacity) {
        const size_t capacity = list->capacity ? list->capacity * 2 : 64;
        int32_t *ids = realloc(list->ids, capacity * sizeof *ids);
        if (!ids) return false;
        list->ids = ids;
        list->capacity = capacity;
    }
    list->ids[list->count++] = id;
    return true;
}

static bool encode_word(const bpe_tokenizer *tokenizer, bpe_scratch *scratch, const char *word,
                        size_t length_bytes, token_list *list) {
    if (!reserve(scratch, length_bytes)) return false;
    bpe_piece *pieces = scratch->pieces;
    int32_t count = 0;
    for (size_t i = 0; i < length_bytes; i++) {
        const int32_t token = tokenizer->byte_token[(unsigned char)word[i]];
        if (token < 0) continue;
        pieces[count] = (bpe_piece){token, count - 1, count + 1};
        count++;
    }
    if (count == 0) return true;
    pieces[count - 1].right = -1;
    scratch->heap_count = 0;
    for (int32_t i = 0; i < count; i++) consider_pair(tokenizer, scratch, i);

    while (scratch->heap_count > 0) {
        const bpe_candidate best = heap_pop(scratch);
        bpe_piece *left = &pieces[best.at];
        if (left->token != best.left_token || left->right < 0) continue;
        bpe_piece *right = &pieces[left->right];
        if (right->token != best.right_token) continue;
        left->token = best.merged;
        right->token = -1;
        left->right = right->right;
        if (right->right >= 0) pieces[right->right].left = best.at;
        consider_pair(tokenizer, scratch, left->left);
        consider_pair(tokenizer, scratch, best.at);
    }
    for (int32_t i = 0; i >= 0; i = pieces[i].right) {
        if (!append(list, pieces[i].token)) return false;
    }
    return true;
}

static bool encode_text(const bpe_tokenizer *tokenizer, bpe_scratch *scratch, const char *text,
                        size_t length_bytes, token_list *list) {
    word_splitter splitter;
    size_t start, end;
    word_split_start(&splitter, text, length_bytes, tokenizer->single_digits);
    while (word_split_next(&splitter, &start, &end)) {
        if (!encode_word(tokenizer, scratch, text + start, end - start, list)) return false;
    }
    return true;
}

/* The special token whose name starts at text, or -1; the longest where several do. */
static int32_t special_at(const bpe_tokenizer *tokenizer, const char *text, size_t length_bytes) {
    if (!tokenizer->starts_special[(unsigned char)text[0]]) return -1;
    for (size_t i = 0; i < tokenizer->special_count; i++) {
        const gguf_string *name = &tokenizer->texts[tokenizer->specials[i]];
        if (name->length_bytes <= length_bytes &&
            memcmp(name->bytes, text, name->length_bytes) == 0) {
            return tokenizer->specials[i];
        }
    }
    return -1;
}

bool bpe_encode(const bpe_tokenizer *tokenizer, const char *text, size_t length_bytes,
                bpe_specials specials, token_list *list, host_error *error) {
    bpe_scratch scratch = {0};
    size_t start = 0;
    bool done = true;
    for (size_t at = 0; specials == BPE_SPECIALS_PARSED && done && at < length_bytes;) {
        const int32_t special = special_at(tokenizer, text + at, length_bytes - at);
        if (special < 0) {
            at++;
            continue;
        }
        done = encode_text(tokenizer, &scratch, text + start, at - start, list) &&
               append(list, special);
        at += tokenizer->texts[special].length_bytes;
        start = at;
    }
    done = done && encode_text(tokenizer, &scratch, text + start, length_bytes - start, list);
    free(scratch.pieces);
    free(scratch.heap);
    return done || host_fail(error, "out of memory while encoding %zu bytes", length_bytes);
}

void token_list_free(token_list *list) {
    free(list->ids);
    *list = (token_list){0};
}
