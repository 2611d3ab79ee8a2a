/* shelf.h — the directions and SAEs that features read from files: kept as long as they are. */
#ifndef PH_SHELF_H
#define PH_SHELF_H

#include "feature/sae.h"

/* {0} is the empty one. */
typedef struct ph_shelf {
    struct ph_kept_direction *directions; /* n_directions */
    ph_sae **saes;                        /* n_saes */
    ph_latent **latents;                  /* n_latents */
    char **files;                         /* n_files: the paths of all that was read */
    size_t n_directions, n_saes, n_latents, cap_latents, n_files;
} ph_shelf;

void ph__shelf_close(ph_shelf *s);
/* *out (width), borrowed, = a direction at a tap; read if it is not here yet. name NULL: none. */
ph_status ph__shelf_direction(const float **out, ph_shelf *s, const char *path, const char *name,
                              ph_tap tap, int64_t width, ph_error *err);
/* The SAE of a folder, borrowed; opened if it is not here yet. */
ph_status ph__shelf_sae(const ph_sae **out, ph_shelf *s, const char *folder,
                        const ph_model_info *model, ph_error *err);
/* One latent of it, borrowed. */
ph_status ph__shelf_latent(const ph_latent **out, ph_shelf *s, const ph_sae *sae, int64_t index,
                           ph_error *err);

#endif
