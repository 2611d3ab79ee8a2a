/* gradient.c — backward from a place to the embeddings, and is it right? gradient MODEL BLOCK
 *
 * f(E) = component 0 of the block at the last token. Its gradient dE is compared, along a direction v,
 * with (f(E+hv) - f(E-hv))/2h. The backend ref64 computes in double; what a session hands out is float.
 */
#include <math.h>
#include <phosphene.h>
#include <stdio.h>
#include <stdlib.h>

enum { T = 4 };

/* E + h v through the session: f, and dE if that is not NULL. */
static double f(ph_session *s, float *dE, const float *E, const float *v, double h, int64_t C,
                ph_error *err)
{
    const size_t n = (size_t)(T * C);
    float *moved = calloc(n, sizeof *moved), *X = calloc(n, sizeof *X), *dX = calloc(n, sizeof *dX);
    double value = (double)NAN;

    for (size_t i = 0; moved && i < n; i++) moved[i] = (float)((double)E[i] + h * (double)v[i]);
    if (moved && X && dX && ph_session_forward(s, X, moved, 1, err) == PH_OK) {
        value = (double)X[(T - 1) * C];
        dX[(T - 1) * C] = 1;
        if (dE && ph_session_backward(s, dE, dX, err) != PH_OK) value = (double)NAN;
    }
    free(moved);
    free(X);
    free(dX);
    return value;
}

int main(int argc, char **argv)
{
    ph_model_options precise = PH_MODEL_OPTIONS_INIT;
    ph_session_options options = PH_SESSION_OPTIONS_INIT;
    const int32_t ids[T] = {5, 6, 7, 8};
    const double h = 2e-4;
    ph_model *model = NULL;
    ph_session *session = NULL;
    ph_error err = {0};

    if (argc != 3) return fprintf(stderr, "usage: %s MODEL BLOCK\n", argv[0]), 2;
    precise.backend = "ref64";
    options.tap = (ph_tap){PH_PLACE_BLOCK, false, atoll(argv[2])};
    options.tokens = T;
    options.gradient = true;
    if (ph_model_open(&model, argv[1], &precise, &err) != PH_OK ||
        ph_session_open(&session, model, &options, &err) != PH_OK) {
        ph_model_close(&model);
        return fprintf(stderr, "%s: %s\n", argv[0], err.msg), 1;
    }
    const int64_t C = ph_model_get_info(model)->width;
    float *E = calloc(3 * (size_t)(T * C), sizeof *E), *v = E + T * C, *dE = v + T * C;
    for (int64_t i = 0; E && i < T * C; i++) v[i] = (float)sin((double)i * (double)i);
    double along = 0, slope = (double)NAN;
    if (E && ph_model_embed(model, E, ids, T, &err) == PH_OK) {
        f(session, dE, E, v, 0, C, &err);
        slope =
            (f(session, NULL, E, v, h, C, &err) - f(session, NULL, E, v, -h, C, &err)) / (2 * h);
        for (int64_t i = 0; i < T * C; i++) along += (double)dE[i] * (double)v[i];
    }
    printf("along v: gradient %.6f, differences %.6f\n", along, slope);
    free(E);
    ph_session_close(&session);
    ph_model_close(&model);
    return fabs(along - slope) <= 0.01 * fabs(along) ? 0 : 1; /* float rounding over the step */
}
