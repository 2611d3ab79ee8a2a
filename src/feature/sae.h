/* sae.h — sparse autoencoders in SAELens's files: cfg.json and sae_weights.safetensors.
 *
 *   pre_j  = (n(x) - b) W_enc[:,j] + b_enc[j]       n: normalize_activations;  b: b_dec, or 0
 *            gated: (n(x) - b) W_enc[:,j] exp(r_mag[j]) + b_mag[j]
 *            with rescale_acts_by_decoder_norm: times |W_dec[j]|
 *   post_j = max(pre_j, 0), but 0 unless
 *            topk                 pre_j is among the k largest of all latents
 *            jumprelu, batchtopk  pre_j > threshold[j]
 *            gated                (n(x) - b) W_enc[:,j] + b_gate[j] > 0
 *
 * Batch top-k is used with the threshold that its training left: what a batch shares is nothing that
 * one text has. A latent is the affine pre-activation; the nonlinearity is only reported.
 */
#ifndef PH_SAE_H
#define PH_SAE_H

#include "weights/weights.h"

/* The files of an SAE's folder. */
#define PH_SAE_CFG     "cfg.json"
#define PH_SAE_WEIGHTS "sae_weights.safetensors"

typedef struct ph_sae ph_sae;
typedef struct ph_latent ph_latent;

ph_status ph__sae_open(ph_sae **out, const char *folder, const ph_model_info *model, ph_error *err);
/* The same from memory that outlives *out (fuzzing, tests); folder is what messages name. */
ph_status ph__sae_parse(ph_sae **out, const char *folder, ph_bytes cfg, ph_bytes weights,
                        const ph_model_info *model, ph_error *err);
void ph__sae_close(ph_sae **sae);
const char *ph__sae_folder(const ph_sae *sae);
ph_tap ph__sae_tap(const ph_sae *sae);
int64_t ph__sae_latents(const ph_sae *sae); /* d_sae */

/* Borrows the SAE. PH_EFORMAT if its weights are NaN or infinite. */
ph_status ph__latent_open(ph_latent **out, const ph_sae *sae, int64_t index, ph_error *err);
void ph__latent_close(ph_latent **latent);
/* pre = <n(x), direction> + offset */
const float *ph__latent_direction(const ph_latent *l, double *offset);
/* Whether it was trained on texts behind a BOS. */
bool ph__latent_bos(const ph_latent *l);
/* Is n anything else than x? */
bool ph__latent_normalises(const ph_latent *l);
/* Which n that is, in two numbers: for keys of what is kept. */
void ph__latent_normalisation(double out[2], const ph_latent *l);
/* <n(x), direction>, and dx += by × its gradient. */
double ph__latent_product(const ph_latent *l, const double *x);
void ph__latent_gradient(double *dx, const ph_latent *l, double by, const double *x);
/* post (T) of pre (T), X (T, ld) the outputs of its place. */
ph_status ph__latent_post(double *post, const ph_latent *l, const double *pre, const double *X,
                          int64_t T, int64_t ld, ph_error *err);

/* For spec.c to read a hook's name with. */
ph_status ph__hook_read(ph_tap *out, const ph_model_info *model, const char *name, ph_error *err);

#endif
