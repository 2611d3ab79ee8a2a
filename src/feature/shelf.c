/* shelf.c — the directions and SAEs that features read from files: kept as long as they are. */
#include "feature/shelf.h"

#include "base/mem.h"
#include "feature/direction.h"
#include "model/taps.h"

#include <string.h>

struct ph_kept_direction {
    char *path, *name; /* name NULL: none */
    ph_tap tap;
    float *direction;
};

void ph__shelf_close(ph_shelf *s)
{
    for (size_t i = 0; i < s->n_files; i++) ph__free(s->files[i]);
    for (size_t i = 0; i < s->n_latents; i++) ph__latent_close(&s->latents[i]);
    for (size_t i = 0; i < s->n_saes; i++) ph__sae_close(&s->saes[i]);
    for (size_t i = 0; i < s->n_directions; i++) {
        ph__free(s->directions[i].path);
        ph__free(s->directions[i].name);
        ph__free(s->directions[i].direction);
    }
    ph__free(s->files);
    ph__free(s->latents);
    ph__free(s->saes);
    ph__free(s->directions);
    *s = (ph_shelf){0};
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Note a file that is read: folder/name, or name where folder is NULL. */
static ph_status add_file(ph_shelf *s, const char *folder, const char *name, ph_error *err)
{
    char *path = NULL;
    ph_status st = PH_OK;

    PH_GO(ph__printf(&path, err, "%s%s%s", folder ? folder : "", folder ? "/" : "", name));
    for (size_t i = 0; i < s->n_files; i++)
        if (strcmp(s->files[i], path) == 0) goto done;
    PH_GO(PH_GROW(&s->files, s->n_files, s->n_files + 1, err));
    s->files[s->n_files++] = path;
    path = NULL;
done:
    ph__free(path);
    return st;
}

ph_status ph__shelf_direction(const float **out, ph_shelf *s, const char *path, const char *name,
                              ph_tap tap, int64_t width, ph_error *err)
{
    for (size_t i = 0; i < s->n_directions; i++) {
        const struct ph_kept_direction *d = &s->directions[i];
        if (strcmp(d->path, path) != 0 || !same_text(d->name, name) || ph__tap_order(d->tap, tap))
            continue;
        *out = d->direction;
        return PH_OK;
    }
    PH_TRY(PH_GROW(&s->directions, s->n_directions, s->n_directions + 1, err));
    struct ph_kept_direction *d = &s->directions[s->n_directions++];
    d->tap = tap;
    PH_TRY(ph__strndup(&d->path, path, strlen(path), err));
    if (name) PH_TRY(ph__strndup(&d->name, name, strlen(name), err));
    PH_TRY(PH_NEW(&d->direction, (size_t)width, err));
    PH_TRY(add_file(s, NULL, path, err));
    *out = d->direction;
    return ph__direction_read(d->direction, path, name, tap, width, err);
}

ph_status ph__shelf_sae(const ph_sae **out, ph_shelf *s, const char *folder,
                        const ph_model_info *model, ph_error *err)
{
    for (size_t i = 0; i < s->n_saes; i++)
        if (strcmp(ph__sae_folder(s->saes[i]), folder) == 0) {
            *out = s->saes[i];
            return PH_OK;
        }
    PH_TRY(PH_GROW(&s->saes, s->n_saes, s->n_saes + 1, err));
    PH_TRY(ph__sae_open(&s->saes[s->n_saes], folder, model, err));
    *out = s->saes[s->n_saes++];
    PH_TRY(add_file(s, folder, PH_SAE_CFG, err));
    return add_file(s, folder, PH_SAE_WEIGHTS, err);
}

ph_status ph__shelf_latent(const ph_latent **out, ph_shelf *s, const ph_sae *sae, int64_t index,
                           ph_error *err)
{
    if (s->n_latents == s->cap_latents) {
        const size_t cap = s->cap_latents ? 2 * s->cap_latents : 4;
        PH_TRY(PH_GROW(&s->latents, s->cap_latents, cap, err));
        s->cap_latents = cap;
    }
    PH_TRY(ph__latent_open(&s->latents[s->n_latents], sae, index, err));
    *out = s->latents[s->n_latents++];
    return PH_OK;
}
