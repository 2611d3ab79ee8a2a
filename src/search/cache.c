/* cache.c — names of files in the job's cache folder, for what is worth keeping between runs. */
#include "search/cache.h"

#include "base/file.h"

#include <string.h>

ph_status ph__cache_key(char digest[33], const ph_job *job, const char *name, const void *bytes,
                        size_t n, ph_error *err)
{
    ph_status st = PH_OK;
    ph_str key = {0};
    char *model = NULL, *line = NULL, whole[65];
    const ph_model_info *info = ph_model_get_info(job->model);

    PH_GO(ph__model_identity(&model, job->model, err));
    PH_GO(ph__printf(&line, err, "%s|%s|%s|%s%s|%d|%zu|", ph_version(), model, name, info->backend,
                     job->model->streamed ? " streamed" : "", info->threads, job->n_context));
    PH_GO(ph__str_add(&key, line, strlen(line), err));
    PH_GO(ph__str_add(&key, job->context, job->n_context * sizeof *job->context, err));
    PH_GO(ph__str_add(&key, bytes, n, err));
    PH_GO(ph__sha256(whole, key.data, key.size, err));
    memcpy(digest, whole, 32);
    digest[32] = 0;
done:
    ph__str_close(&key);
    ph__free(line);
    ph__free(model);
    return st;
}

ph_status ph__cache_feature(ph_str *key, const ph_job *job, const ph_feature *f, ph_error *err)
{
    const ph_model_info *info = ph_model_get_info(job->model);

    for (size_t i = 0; i < f->n_terms; i++) {
        const ph_term *t = &f->terms[i];
        const size_t W = (size_t)ph_place_width(info, t->tap.place);
        double how[2] = {0, 0};
        if (t->latent) ph__latent_normalisation(how, t->latent);
        PH_TRY(ph__str_add(key, &t->offset, sizeof t->offset, err));
        PH_TRY(ph__str_add(key, how, sizeof how, err));
        if (t->direction) PH_TRY(ph__str_add(key, t->direction, W * sizeof *t->direction, err));
    }
    return PH_OK;
}
