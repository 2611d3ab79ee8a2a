/* sweep.c — reading a large piece of memory once from end to end, as fast as all threads can. */
#include "kernels/sweep.h"

#include "base/mem.h"

#include <sys/mman.h>
#include <unistd.h>

enum { LINE = 8, PIECE = 1 << 15 /* words; a thread reads that much at a time */ };

static size_t default_bytes(void)
{
    const size_t least = (size_t)256 << 20;
    const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    const size_t wanted = cache > 0 ? 4 * (size_t)cache : least;
    const size_t most = (size_t)sysconf(_SC_PHYS_PAGES) / 4 * (size_t)sysconf(_SC_PAGESIZE);
    const size_t bytes = wanted < least ? least : wanted;
    return bytes < most ? bytes : most;
}

ph_status ph__sweep_open(ph_sweep *out, size_t bytes, int threads, ph_error *err)
{
    const uintptr_t page = (uintptr_t)2 << 20;
    const size_t piece = PIECE * sizeof *out->data;

    *out = (ph_sweep){.bytes = bytes ? bytes : default_bytes(), .threads = threads};
    out->bytes = (out->bytes + piece - 1) / piece * piece;
    PH_TRY(ph__alloc(&out->memory, out->bytes + page, 1, err));
    out->data = (uint64_t *)(((uintptr_t)out->memory + page - 1) & ~(page - 1));
    (void)madvise(out->data, out->bytes & ~(page - 1), MADV_HUGEPAGE); /* as packed weights are */
    const size_t n = out->bytes / sizeof *out->data;
    /* each word is written: untouched pages would all be one page of zeros */
#pragma omp parallel for schedule(static) num_threads(threads)
    for (size_t i = 0; i < n; i += PIECE)
        for (size_t k = 0; k < PIECE; k++) out->data[i + k] = i + k;
    return PH_OK;
}

void ph__sweep_close(ph_sweep *sweep)
{
    ph__free(sweep->memory);
    *sweep = (ph_sweep){0};
}

/* Eight sums, so that no load waits for the addition before. */
static uint64_t read_piece(const uint64_t *p)
{
    uint64_t sum[LINE] = {0}, all = 0;
    for (int i = 0; i < PIECE; i += LINE)
        for (int k = 0; k < LINE; k++) sum[k] += p[i + k];
    for (int k = 0; k < LINE; k++) all += sum[k];
    return all;
}

uint64_t ph__sweep_run(const ph_sweep *sweep)
{
    const size_t n = sweep->bytes / sizeof *sweep->data;
    uint64_t all = 0;
#pragma omp parallel for schedule(static) num_threads(sweep->threads) reduction(+ : all)
    for (size_t i = 0; i < n; i += PIECE) all += read_piece(sweep->data + i);
    return all;
}
