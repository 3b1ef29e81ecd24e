/* Which tokens there are: the engine does not say whether it was the token or the key that it did not find. For key_engine.c. */
#pragma once

#include "base/base.h"

enum { KEY_LABEL_BYTES = 33 };

/* Has none of the tokens of that library the label that `name` (pkcs11:…) wants? *found (free it): the labels that there are, "" for
 * no token. false: there is one, or nobody can know. */
bool key_token_is_missing(const char *name, const char *module, char **found);
/* What token= says in `name`, decoded; false: nothing, or something that is no label. */
bool key_token_label(char ret[KEY_LABEL_BYTES], const char *name);
