/* dream_settings.h — the settings of a dream for its run line: of the command's and of the server's. */
#ifndef DREAM_SETTINGS_H
#define DREAM_SETTINGS_H

#include "allow.h"

json_t *dream_settings(const ph_dream_options *o, const struct common *common,
                       const struct allow *allow);

#endif
