/* split.c — a GGUF model in several files: finds the parts, checks them, makes one of them. */
#include "weights/split.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MOST_PARTS = 99999 }; /* a name has five digits for it */

struct split {
    int64_t no, count, tensors; /* no from 0; tensors -1 where the file does not say */
};

static ph_status read_split(struct split *s, const ph_weights *w, ph_error *err)
{
    *s = (struct split){0, 1, -1};
    PH_TRY(ph__meta_int(&s->no, w, "split.no", err));
    PH_TRY(ph__meta_int(&s->count, w, "split.count", err));
    PH_TRY(ph__meta_int(&s->tensors, w, "split.tensors.count", err));
    if (s->count <= 1) return PH_OK;
    if (s->no < 0 || s->no >= s->count || s->count > MOST_PARTS)
        return ph__fail(err, PH_EFORMAT, -1,
                        "key split.no is %" PRId64 " and split.count %" PRId64
                        ", expected a part of at most %d",
                        s->no, s->count, MOST_PARTS);
    return PH_OK;
}

/* ---- one of several ---- */

static ph_status check_part(const ph_weights *w, size_t i, size_t n, int64_t tensors, ph_error *err)
{
    struct split s;
    PH_TRY(read_split(&s, w, err));
    if (s.count <= 1)
        return ph__fail(err, PH_EFORMAT, -1, "part %zu of %zu: its keys say that it is whole",
                        i + 1, n);
    if (s.no != (int64_t)i || s.count != (int64_t)n)
        return ph__fail(err, PH_EFORMAT, -1,
                        "part %zu of %zu: its keys say part %" PRId64 " of %" PRId64, i + 1, n,
                        s.no + 1, s.count);
    if (s.tensors != tensors)
        return ph__fail(err, PH_EFORMAT, -1,
                        "part %zu of %zu: key split.tensors.count is %" PRId64
                        ", in part 1 it is %" PRId64,
                        i + 1, n, s.tensors, tensors);
    return PH_OK;
}

/* *out = how many tensors all parts have. */
static ph_status check_parts(size_t *out, ph_weights **parts, size_t n, ph_error *err)
{
    struct split first;
    *out = 0;
    PH_TRY(read_split(&first, parts[0], err));
    for (size_t i = 0; i < n; i++) {
        PH_TRY(check_part(parts[i], i, n, first.tensors, err));
        *out += parts[i]->n_tensors;
    }
    if (first.tensors >= 0 && first.tensors != (int64_t)*out)
        return ph__fail(err, PH_EFORMAT, -1,
                        "the %zu parts have %zu tensors, key split.tensors.count says %" PRId64, n,
                        *out, first.tensors);
    if (*out > PH_GGUF_TENSORS_MAX)
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "the %zu parts have %zu tensors, at most %d are read", n, *out,
                        PH_GGUF_TENSORS_MAX);
    return PH_OK;
}

/* All tensors, in the order of the parts, and their index. */
static ph_status gather(ph_tensor *tensors, ph_name *index, size_t total, ph_weights *const *parts,
                        size_t n, ph_error *err)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < parts[i]->n_tensors; k++, at++) {
            tensors[at] = parts[i]->tensors[k];
            index[at] = (ph_name){{tensors[at].name, strlen(tensors[at].name)}, at};
        }
    const ph_name *twice = ph__index_sort(index, total);
    if (!twice) return PH_OK;
    return ph__fail(err, PH_EFORMAT, -1, "tensor %s: is there in two parts", twice->name.data);
}

ph_status ph__split_join(ph_weights **parts, size_t n, ph_error *err)
{
    ph_status st = PH_OK;
    ph_weights all = {0}; /* what the first part gets */
    size_t total = 0;

    PH_TRY(check_parts(&total, parts, n, err));
    PH_GO(PH_NEW(&all.tensors, total, err));
    PH_GO(PH_NEW(&all.tensor_index, total, err));
    PH_GO(PH_NEW(&all.rest, n, err));
    PH_GO(gather(all.tensors, all.tensor_index, total, parts, n, err));
    ph_weights *w = parts[0];
    for (size_t i = 1; i < n; i++) {
        all.rest[i - 1] = parts[i];
        parts[i] = NULL;
    }
    ph__free(w->tensors);
    ph__free(w->tensor_index);
    w->tensors = all.tensors;
    w->tensor_index = all.tensor_index;
    w->n_tensors = total;
    w->rest = all.rest;
    w->n_rest = n - 1;
    return PH_OK;
done:
    ph__free(all.tensors);
    ph__free(all.tensor_index);
    ph__free(all.rest);
    return st;
}

/* ---- files ---- */

/* *stem = how many bytes of the path stand before "-00002-of-00003.gguf". */
static ph_status check_name(size_t *stem, const char *path, const struct split *s, ph_error *err)
{
    char ending[40];
    const size_t n = strlen(path),
                 m = (size_t)snprintf(ending, sizeof ending, "-%05" PRId64 "-of-%05" PRId64 ".gguf",
                                      s->no + 1, s->count);
    if (n < m || strcmp(path + n - m, ending) != 0)
        return ph__fail(err, PH_EFORMAT, -1,
                        "%s: its keys say part %" PRId64 " of %" PRId64
                        ", so its name must end in %s",
                        path, s->no + 1, s->count, ending);
    *stem = n - m;
    return PH_OK;
}

static ph_status open_part(ph_weights **out, const char *path, size_t stem, size_t i, size_t n,
                           ph_part_open open, ph_error *err)
{
    ph_status st = PH_OK;
    char *beside = NULL;

    PH_GO(ph__printf(&beside, err, "%.*s-%05zu-of-%05zu.gguf", (int)stem, path, i + 1, n));
    if (access(beside, F_OK) != 0 && errno == ENOENT)
        st = ph__fail(err, PH_EIO, -1, "%s: part %zu of %zu is missing", beside, i + 1, n);
    else
        st = open(out, beside, err);
done:
    ph__free(beside);
    return st;
}

ph_status ph__split_open(ph_weights **w, const char *path, ph_part_open open, ph_error *err)
{
    ph_status st = PH_OK;
    ph_weights **parts = NULL;
    struct split s;
    size_t stem = 0;

    PH_TRY(read_split(&s, *w, err));
    if (s.count <= 1) return PH_OK;
    PH_TRY(check_name(&stem, path, &s, err));
    const size_t own = (size_t)s.no, n = (size_t)s.count;
    PH_TRY(PH_NEW(&parts, n, err));
    for (size_t i = 0; i < n; i++)
        if (i != own) PH_GO(open_part(&parts[i], path, stem, i, n, open, err));
    parts[own] = *w;
    st = ph__split_join(parts, n, err);
    if (st == PH_OK) {
        *w = parts[0];
        parts[0] = NULL;
    } else {
        parts[own] = NULL;
    }
done:
    for (size_t i = 0; i < n; i++) ph__weights_close(&parts[i]);
    ph__free(parts);
    return st;
}
